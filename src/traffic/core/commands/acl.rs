//! ACL: the users of Circlet, which are one: `default`, who may do everything, with or without a password.
//!
//! What Redis shows of its default user is shown here, so that tools which look at users find what they expect. Users of
//! the nodes are another matter: Circlet itself logs in with them. Read-only; what would change a user is refused by its
//! row. Pure.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::{NOT_AN_INTEGER, integer};
use crate::traffic::{
    client::ClientKey,
    command::{Found, Local, Table},
    core::{Core, request::Request},
    refusal::Refusal,
    resp::encode,
};

/// The one user.
const USER: &[u8] = b"default";

impl Core {
    pub(super) fn acl(&mut self, key: ClientKey, request: Request<'_>, which: Local, table: &Table) {
        match which {
            Local::AclDryrun => self.acl_dryrun(key, request, table),
            Local::AclGetUser => self.acl_get_user(key, request),
            Local::AclList => {
                let line = format!("user default on {} ~* &* +@all", self.password_rule());
                self.answer(key, |out| {
                    encode::array_header(out, 1);
                    encode::bulk(out, line.as_bytes());
                });
            }
            Local::AclLog => self.acl_log(key, request),
            Local::AclUsers => self.answer(key, |out| {
                encode::array_header(out, 1);
                encode::bulk(out, USER);
            }),
            _ => self.answer(key, |out| encode::bulk(out, USER)),
        }
    }

    /// `nopass`, or `#` and the digest of the password.
    fn password_rule(&self) -> String {
        self.password_digest().map_or_else(|| "nopass".to_owned(), |digest| format!("#{digest}"))
    }

    fn password_digest(&self) -> Option<String> {
        let password = self.settings.requirepass.as_ref()?;
        let mut digest = String::new();
        for byte in Sha256::digest(password.as_bytes()) {
            // Writing to a String cannot fail.
            let _ = write!(digest, "{byte:02x}");
        }
        Some(digest)
    }

    fn acl_get_user(&mut self, key: ClientKey, request: Request<'_>) {
        let proto = self.proto(key);
        if request.arg(2) != USER {
            return self.answer(key, |out| encode::null(out, proto));
        }
        let digest = self.password_digest();
        self.answer(key, |out| {
            encode::map_header(out, 6, proto);
            encode::bulk(out, b"flags");
            encode::set_header(out, if digest.is_some() { 1 } else { 2 }, proto);
            encode::bulk(out, b"on");
            if digest.is_none() {
                encode::bulk(out, b"nopass");
            }
            encode::bulk(out, b"passwords");
            encode::array_header(out, usize::from(digest.is_some()));
            if let Some(digest) = &digest {
                encode::bulk(out, digest.as_bytes());
            }
            for (name, rule) in [("commands", "+@all"), ("keys", "~*"), ("channels", "&*")] {
                encode::bulk(out, name.as_bytes());
                encode::bulk(out, rule.as_bytes());
            }
            encode::bulk(out, b"selectors");
            encode::array_header(out, 0);
        });
    }

    /// `ACL LOG [count | RESET]`: nobody is ever denied anything, so it is empty.
    fn acl_log(&mut self, key: ClientKey, request: Request<'_>) {
        match (request.args.len(), request.arg(2)) {
            (2, _) => {}
            (3, word) if word.eq_ignore_ascii_case(b"RESET") => return self.ok(key),
            (3, count) if integer(count).is_some() => {}
            (3, _) => return self.refuse(key, &Refusal::Redis(NOT_AN_INTEGER)),
            _ => {
                let sub = String::from_utf8_lossy(request.arg(1));
                let text = format!("ERR unknown subcommand or wrong number of arguments for '{sub}'. Try ACL HELP.");
                return self.refuse(key, &Refusal::Redis(&text));
            }
        }
        self.answer(key, |out| encode::array_header(out, 0));
    }

    /// `ACL DRYRUN user command [arg …]`: the one user may do everything that is a command.
    fn acl_dryrun(&mut self, key: ClientKey, request: Request<'_>, table: &Table) {
        let (user, command) = (request.arg(2), request.arg(3));
        if user != USER {
            let text = format!("ERR User '{}' not found", String::from_utf8_lossy(user));
            return self.refuse(key, &Refusal::Redis(&text));
        }
        let Found::Row(row) = table.find(command, request.args.get(4).map(|arg| arg.of(request.bytes))) else {
            let text = format!("ERR Command '{}' not found", String::from_utf8_lossy(command));
            return self.refuse(key, &Refusal::Redis(&text));
        };
        if row.arity_ok(request.args.len() - 3) {
            self.ok(key);
        } else {
            self.refuse(key, &Refusal::Arity(&row.name));
        }
    }
}
