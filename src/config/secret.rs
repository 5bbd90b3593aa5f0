//! Passwords: as written, or from a file so that the configuration holds none.
//!
//! An `Err` is a cure without the password. Io: reads password files, of at most 4 KB.

use std::{fs::File, io::Read, path::Path};

use crate::traffic::settings::Password;

/// Longest password, in bytes.
const MAX: u64 = 4_096;

/// A password as written; empty means none.
pub(super) fn inline(text: &str) -> Result<Option<Password>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    checked(text).map(Some)
}

/// The password in the file `path`, relative to `base`, without the line break at its end; an empty path means none.
///
/// # Errors
/// The cure, without the password.
pub fn from_file(path: &str, base: &Path) -> Result<Option<Password>, String> {
    if path.is_empty() {
        return Ok(None);
    }
    let path = base.join(path);
    let mut text = String::new();
    // One byte more than allowed, to see that there is more.
    File::open(&path)
        .and_then(|file| file.take(MAX + 3).read_to_string(&mut text))
        .map_err(|error| format!("{} cannot be read ({error}); name a text file with the password", path.display()))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(format!("{} is empty; write the password into it", path.display()));
    }
    checked(line).map(Some)
}

fn checked(password: &str) -> Result<Password, String> {
    if password.contains(['\n', '\r', '\0']) {
        return Err("use a password of one line".to_owned());
    }
    if u64::try_from(password.len()).map_or(true, |len| len > MAX) {
        return Err(format!("use a password of at most {MAX} bytes"));
    }
    Ok(password.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_password_file_holds_one_line() {
        let dir = Scratch::new("secret");
        for (content, password) in
            [("s3cret", "s3cret"), ("s3cret\n", "s3cret"), ("s3cret\r\n", "s3cret"), (" a b \n", " a b ")]
        {
            dir.write("pass", content);
            assert_eq!(from_file("pass", dir.path()), Ok(Some(password.into())));
        }
        for (content, cure) in [("", "write the password"), ("\n", "write the password"), ("a\nb\n", "one line")] {
            dir.write("pass", content);
            assert!(from_file("pass", dir.path()).unwrap_err().contains(cure), "{content:?}");
        }
        dir.write("pass", &"x".repeat(10_000));
        assert!(from_file("pass", dir.path()).unwrap_err().contains("4096"));
        assert!(from_file("none", dir.path()).unwrap_err().contains("cannot be read"));
        assert_eq!(from_file("", dir.path()), Ok(None));
    }

    #[test]
    fn a_password_in_the_configuration_is_taken_as_it_stands() {
        assert_eq!(inline(""), Ok(None));
        assert_eq!(inline(" p w "), Ok(Some(" p w ".into())));
        assert!(inline("a\nb").unwrap_err().contains("one line"));
        assert!(inline(&"x".repeat(4_097)).is_err());
    }
}
