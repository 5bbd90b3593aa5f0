//! The file around what must outlive the process: its format, its digest, and how it is replaced so that it is always whole.
//! The ring's state and that of locks are kept so. Io.
//!
//! ```text
//!  {"format":1,"sha256":"64 hexadecimal digits","state":BODY}
//! ```
//! It is JSON, but its frame is read byte by byte: what was changed anywhere is found out.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

/// What of a pool's name stands as it is in the file's name.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Why a file cannot be read.
#[derive(Debug)]
pub(in crate::control) enum Fault {
    /// The system refused.
    Io { path: PathBuf, doing: &'static str, error: io::Error },
    /// The content is not what was written.
    Damaged { path: PathBuf, what: String },
    /// It is of a newer Circlet, in this format.
    Newer { path: PathBuf, format: u64 },
}

const HEAD: &str = "{\"format\":";
const DIGEST: &str = ",\"sha256\":\"";
const BODY: &str = "\",\"state\":";
const TAIL: &str = "}\n";

/// What the file `stem` of `pool` is called.
pub(in crate::control) fn name(stem: &str, pool: Option<&str>) -> String {
    match pool {
        None => format!("{stem}.json"),
        Some(pool) => format!("{stem}-{}.json", utf8_percent_encode(pool, PLAIN)),
    }
}

/// Puts `body` into its frame.
pub(in crate::control) fn seal(format: u64, body: &str) -> Vec<u8> {
    format!("{HEAD}{format}{DIGEST}{}{BODY}{body}{TAIL}", digest(body.as_bytes())).into_bytes()
}

/// The body of what [`seal`] gave in the format `known`; a lower one would be read too, if there were one.
pub(in crate::control) fn open<'b>(path: &Path, known: u64, bytes: &'b [u8]) -> Result<&'b str, Fault> {
    let damaged = |what: &str| Fault::Damaged { path: path.to_path_buf(), what: what.to_owned() };
    let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is no text"))?;
    let rest = text.strip_prefix(HEAD).ok_or_else(|| damaged("it does not begin with its format"))?;
    let (format, rest) = rest.split_once(DIGEST).ok_or_else(|| damaged("it has no digest"))?;
    if format != known.to_string() {
        return Err(match format.parse::<u64>() {
            Ok(format) if format > known => Fault::Newer { path: path.to_path_buf(), format },
            _ => damaged("its format is none"),
        });
    }
    let (told, rest) = rest.split_once(BODY).ok_or_else(|| damaged("it has no content"))?;
    let body = rest.strip_suffix(TAIL).ok_or_else(|| damaged("its end is missing"))?;
    if digest(body.as_bytes()) != told {
        return Err(damaged("its digest is another one"));
    }
    Ok(body)
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of the file at `path`, up to `most`; `None`: there is none.
pub(in crate::control) fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, Fault> {
    let failed = |error| Fault::Io { path: path.to_path_buf(), doing: "read", error };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(Fault::Damaged { path: path.to_path_buf(), what: format!("it has more than {most} bytes") });
    }
    Ok(Some(bytes))
}

/// What [`replace`] does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control) enum Step {
    Create,
    Write,
    Sync,
    Rename,
    SyncDirectory,
}

/// Is asked before each step; an error ends the work there, as if the machine had stopped.
pub(in crate::control) type Gate<'g> = dyn FnMut(Step) -> io::Result<()> + 'g;

/// Replaces the file `name` in `dir`. When it returns, the new content is on the disk; when it fails at any point, there is the
/// old content, or the new one.
pub(in crate::control) fn replace(dir: &Path, name: &str, bytes: &[u8], gate: &mut Gate<'_>) -> io::Result<()> {
    let (new, path) = (dir.join(format!("{name}.new")), dir.join(name));
    gate(Step::Create)?;
    // One that is left over from a write that was cut off is begun anew.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&new)?;
    gate(Step::Write)?;
    file.write_all(bytes)?;
    gate(Step::Sync)?;
    file.sync_all()?;
    gate(Step::Rename)?;
    fs::rename(&new, &path)?;
    gate(Step::SyncDirectory)?;
    File::open(dir)?.sync_all()
}
