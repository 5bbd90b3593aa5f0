//! Who may read the admin address: whoever calls it by its name and, where a token is set, gives that.
//!
//! ```text
//!  request ─► /healthz, /readyz? ──────────────────────────────────────────────► answered
//!        └──► Host: an IP address, localhost, the name in `admin` or `admin_hosts`? ─no─► 421
//!        └──► no token set, or Authorization: Bearer TOKEN, or Basic anybody:TOKEN ─no─► 401
//! ```
//! The names keep web pages out: a page can make a browser ask here by a name of its own that leads to this machine (DNS
//! rebinding), but then that name stands in Host. Basic is for browsers, which ask for it, keep it to themselves and never put
//! it into an address or a log. Tokens are compared by their digests, so that the time it takes says nothing. Pure.

use std::{fmt, net::IpAddr};

use axum::http::{HeaderMap, Uri, header::HOST};
use headers::{
    Authorization, HeaderMapExt,
    authorization::{Basic, Bearer},
};
use sha2::{Digest as _, Sha256};

use crate::{config::Config, traffic::route::Address};

/// The name that stands for every name in `admin_hosts`.
const ANY: &str = "*";

/// What is asked of a request.
#[derive(Clone)]
pub struct Access {
    /// Digest of the token, if one is set.
    token: Option<[u8; 32]>,
    /// Names, in lower case, beside addresses and localhost.
    names: Vec<String>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("token", &self.token.is_some()).field("names", &self.names).finish()
    }
}

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// It does not say whom it asks, or says it twice.
    NoHost,
    /// It asks by a name that is not ours.
    ForeignHost(String),
    /// A token is wanted, and it gives none.
    NoToken,
    /// It gives another one.
    WrongToken,
}

impl Access {
    /// What `config` asks for.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let own = match &config.admin {
            Some(Address::Tcp { host, .. }) => Some(host.to_ascii_lowercase()),
            Some(Address::Unix(_)) | None => None,
        };
        Self {
            token: config.admin_token.as_ref().map(|token| digest(token.as_bytes())),
            names: own.into_iter().chain(config.admin_hosts.iter().cloned()).collect(),
        }
    }

    /// Whether a request with this target and these headers may be answered.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Denied> {
        if matches!(uri.path(), "/healthz" | "/readyz") {
            return Ok(());
        }
        self.check_host(uri, headers)?;
        let Some(token) = self.token else { return Ok(()) };
        if let Some(bearer) = headers.typed_get::<Authorization<Bearer>>() {
            return right(token, bearer.token());
        }
        if let Some(basic) = headers.typed_get::<Authorization<Basic>>() {
            return right(token, basic.password());
        }
        Err(Denied::NoToken)
    }

    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Denied> {
        let mut given = headers.get_all(HOST).iter();
        let (Some(host), None) = (given.next(), given.next()) else { return Err(Denied::NoHost) };
        let host = host.to_str().ok().and_then(|host| host.parse::<axum::http::uri::Authority>().ok());
        let host = host.ok_or(Denied::NoHost)?;
        // A target with a host of its own (as to a proxy) must be ours, too.
        for name in [Some(host.host()), uri.host()].into_iter().flatten() {
            if !self.knows(name) {
                return Err(Denied::ForeignHost(name.chars().take(100).collect()));
            }
        }
        Ok(())
    }

    fn knows(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
        bare.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || self.names.iter().any(|name| name == ANY || *name == host)
    }
}

fn right(token: [u8; 32], given: &str) -> Result<(), Denied> {
    if digest(given.as_bytes()) == token { Ok(()) } else { Err(Denied::WrongToken) }
}

/// By what tokens are compared: how long that takes tells nothing of them.
pub(in crate::control) fn digest(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn access(admin: &str, hosts: &[&str], token: Option<&str>) -> Access {
        Access::of(&Config {
            admin: Some(admin.parse().unwrap()),
            admin_hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
            admin_token: token.map(Into::into),
            ..Config::default()
        })
    }

    fn check(access: &Access, target: &str, headers: &[(&'static str, &str)]) -> Result<(), Denied> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        access.check(&target.parse().unwrap(), &map)
    }

    #[test]
    fn only_own_names_are_answered() {
        let access = access("metrics.example:9180", &["circlet-1"], None);
        for host in [
            "127.0.0.1",
            "127.0.0.1:9180",
            "10.1.2.3:80",
            "[::1]:9180",
            "localhost",
            "LOCALHOST:1",
            "Metrics.Example:9180",
            "circlet-1",
        ] {
            assert_eq!(check(&access, "/metrics", &[("host", host)]), Ok(()), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "circlet-1.evil.example:9180", "127.0.0.1.evil.example", "*"]
        {
            let denied = check(&access, "/", &[("host", host)]).unwrap_err();
            assert!(matches!(denied, Denied::ForeignHost(_) | Denied::NoHost), "{host}");
        }
        for headers in [&[][..], &[("host", "")], &[("host", "localhost"), ("host", "localhost")], &[("host", "a b")]] {
            assert_eq!(check(&access, "/", headers), Err(Denied::NoHost), "{headers:?}");
        }
        assert!(check(&access, "http://evil.example/", &[("host", "localhost")]).is_err());
        assert_eq!(check(&access, "/healthz", &[("host", "evil.example")]), Ok(()));
        assert_eq!(check(&super::tests::access("127.0.0.1:1", &["*"], None), "/", &[("host", "x")]), Ok(()));
    }

    #[test]
    fn a_token_is_wanted_where_one_is_set() {
        let access = access("127.0.0.1:9180", &[], Some(TOKEN));
        let ask = |authorization: &str| check(&access, "/", &[("host", "localhost"), ("authorization", authorization)]);
        assert_eq!(check(&access, "/metrics", &[("host", "localhost")]), Err(Denied::NoToken));
        assert_eq!(check(&access, "/readyz", &[("host", "localhost")]), Ok(()));
        assert_eq!(ask("Bearer 0123456789abcdef"), Ok(()));
        // x:0123456789abcdef, and the same with another token.
        assert_eq!(ask("Basic eDowMTIzNDU2Nzg5YWJjZGVm"), Ok(()));
        assert_eq!(ask("Basic eDoxMTIzNDU2Nzg5YWJjZGVm"), Err(Denied::WrongToken));
        for wrong in ["Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdefg", "Bearer 0123456789ABCDEF"] {
            assert!(ask(wrong).is_err(), "{wrong}");
        }
        for none in ["", "Digest x", "0123456789abcdef", "Basic %%%", "Basic eA=="] {
            assert_eq!(ask(none), Err(Denied::NoToken), "{none}");
        }
    }
}
