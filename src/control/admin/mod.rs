//! The admin address: the status page, `/api/…`, `/metrics`, `/healthz` and `/readyz` over HTTP/1.1.
//!
//! ```text
//!  connection (bounded) ─► request (bounded) ─► access: whose name, which token ─► GET or HEAD of a known path ─► Views
//! ```
//! It only reads, and asks for its answers through [`Views`], so it knows nothing of workers and nodes. Other paths are 404,
//! other methods 405. Bounds: [`MAX_CONNECTIONS`] at a time (more wait in the kernel's backlog), [`MAX_HEAD`] bytes and
//! [`MAX_HEADERS`] headers per request, [`HEAD_TIME`] for them to arrive, and [`CONNECTION_TIME`] for a connection's whole life,
//! so that a client that reads nothing holds its place no longer; who is not let in is not kept. Io.

mod access;
mod page;

use std::{fmt, io, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use percent_encoding::percent_decode_str;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

pub use self::access::Access;
use self::access::Denied;
pub(in crate::control) use self::access::digest;

/// Connections served at the same time.
const MAX_CONNECTIONS: usize = 64;
/// Bytes of a request's head; hyper allows no less than 8 KiB.
const MAX_HEAD: usize = 16 * 1_024;
/// Headers of a request.
const MAX_HEADERS: usize = 64;
/// Time for a request's head to arrive; also how long a connection may be idle.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// After this a connection is closed behind the response that is being sent.
const CONNECTION_TIME: Duration = Duration::from_secs(600);
/// Time for that last response.
const LAST_RESPONSE_TIME: Duration = Duration::from_secs(10);
/// Rest after a failed accept.
const PAUSE: Duration = Duration::from_millis(100);

/// Headers of every response. A page from here may run and fetch what comes from here, nothing else; it cannot be framed, and tells
/// nobody where its reader came from.
const HEADERS: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Finds the place of a pool by its name.
type Find = dyn Fn(&str) -> Result<usize, String> + Send + Sync;
/// A document of one pool.
type Document = dyn Fn(usize) -> String + Send + Sync;

/// Where the answers come from.
pub struct Views {
    /// The place of a pool by its name; an `Err` says which there are.
    pub pool: Box<Find>,
    /// The text that Prometheus scrapes.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// `Err` with the reason when clients should not be sent to this pool; or here at all, if none is named.
    pub ready: Box<dyn Fn(Option<usize>) -> Result<String, String> + Send + Sync>,
    /// The document of `/api/status` of this pool.
    pub status: Box<Document>,
    /// The document of `/api/ring`.
    pub ring: Box<Document>,
    /// The document of `/api/nodes`.
    pub nodes: Box<Document>,
    /// Is told of requests that were not let in, in one of a few texts.
    pub refused: Box<dyn Fn(&str) + Send + Sync>,
}

impl fmt::Debug for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Views")
    }
}

/// Serves `views` to whom `access` lets in on `listener` until dropped.
///
/// # Errors
/// Only if the socket cannot be registered with the event loop.
pub async fn serve(listener: std::net::TcpListener, views: Views, access: Access) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let router = router(views, access);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(converse(stream, router.clone(), place))),
            Err(error) => {
                tracing::debug!("admin: cannot accept: {error}");
                sleep(PAUSE).await;
            }
        }
    }
    Ok(())
}

/// What a handler gets.
type Known = State<Arc<Views>>;

fn router(views: Views, access: Access) -> Router {
    let views = Arc::new(views);
    let doorkeeper = (Arc::new(access), Arc::clone(&views));
    page::routes()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/api/status", get(|State(views): Known, uri: Uri| async move { document(&views, &views.status, &uri) }))
        .route("/api/ring", get(|State(views): Known, uri: Uri| async move { document(&views, &views.ring, &uri) }))
        .route("/api/nodes", get(|State(views): Known, uri: Uri| async move { document(&views, &views.nodes, &uri) }))
        .fallback(|| async { (StatusCode::NOT_FOUND, NOT_FOUND) })
        .with_state(views)
        .layer(middleware::from_fn_with_state(doorkeeper, let_in))
}

/// What is said of other paths.
const NOT_FOUND: &str = "not found; there are /, /api/status, /api/ring, /api/nodes, /metrics, /healthz and /readyz\n";

/// Answers whoever may ask, and says to everybody else why not and what to do.
async fn let_in(State((access, views)): State<(Arc<Access>, Arc<Views>)>, request: Request, next: Next) -> Response {
    let mut response = match access.check(request.uri(), request.headers()) {
        // Before anything is looked at: what else there may be is not for here.
        Ok(()) if !matches!(*request.method(), Method::GET | Method::HEAD) => not_allowed(),
        Ok(()) => next.run(request).await,
        Err(denied) => refusal(&denied, &views),
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn not_allowed() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")], "only GET and HEAD\n").into_response()
}

/// Why not, and the cure; the connection ends behind it.
fn refusal(denied: &Denied, views: &Views) -> Response {
    let close = [(header::CONNECTION, "close")];
    match denied {
        Denied::NoHost => (StatusCode::BAD_REQUEST, close, "one Host header is needed\n").into_response(),
        Denied::ForeignHost(name) => {
            (views.refused)("the admin address was asked by a name that is not its own (admin_hosts)");
            let text =
                format!("{name} is no name of this address; ask by its IP address, or add the name to admin_hosts\n");
            (StatusCode::MISDIRECTED_REQUEST, close, text).into_response()
        }
        Denied::NoToken | Denied::WrongToken => {
            if *denied == Denied::WrongToken {
                (views.refused)("the admin address was asked with a wrong token (admin_token)");
            }
            let text = "a token is needed: Authorization: Bearer TOKEN; in a browser, any user name and the token as password\n";
            let mut response = (StatusCode::UNAUTHORIZED, close, text).into_response();
            for challenge in ["Basic realm=\"Circlet\", charset=\"UTF-8\"", "Bearer realm=\"Circlet\""] {
                response.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
            response
        }
    }
}

async fn metrics(State(views): Known) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (views.metrics)())
}

/// The document of the pool that is asked for, or the first one's.
fn document(views: &Views, view: &Document, uri: &Uri) -> Response {
    match pool(views, uri) {
        Ok(pool) => ([(header::CONTENT_TYPE, "application/json")], view(pool.unwrap_or(0))).into_response(),
        Err(text) => (StatusCode::NOT_FOUND, text).into_response(),
    }
}

async fn ready(State(views): Known, uri: Uri) -> Response {
    match pool(&views, &uri).map(|pool| (views.ready)(pool)) {
        Ok(Ok(text)) => (StatusCode::OK, format!("{text}\n")).into_response(),
        Ok(Err(reason)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
        Err(text) => (StatusCode::NOT_FOUND, text).into_response(),
    }
}

/// The pool that `?pool=NAME` asks for; `None`: it asks for none. An `Err` says which there are.
fn pool(views: &Views, uri: &Uri) -> Result<Option<usize>, String> {
    let Some(name) = uri.query().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("pool="))) else {
        return Ok(None);
    };
    let name = name.replace('+', " ");
    let name = percent_decode_str(&name).decode_utf8_lossy();
    (views.pool)(&name).map(Some).map_err(|text| format!("{text}\n"))
}

/// Answers one connection's requests within the bounds above.
async fn converse(stream: TcpStream, router: Router, _place: OwnedSemaphorePermit) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    // Cancel-safe: the connection's state lives in `connection`, not in the branch.
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = sleep(CONNECTION_TIME) => {
            connection.as_mut().graceful_shutdown();
            timeout(LAST_RESPONSE_TIME, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!("admin: {error}");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::config::Config;

    /// Sends `request` to an admin that is ready or not, and wants a token or not; gives the whole answer.
    async fn ask_with(request: &[u8], is_ready: bool, token: Option<&str>) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let text = |text: &'static str| Box::new(move |pool: usize| format!("{text}{pool}"));
        let views = Views {
            pool: Box::new(|name| if name == "a b" { Ok(1) } else { Err(format!("there is no pool {name}")) }),
            metrics: Box::new(|| "circlet_sessions 7\n".to_owned()),
            ready: Box::new(move |pool| match pool {
                None if is_ready => Ok("ready".to_owned()),
                None => Err("no node can be reached".to_owned()),
                Some(pool) => Err(format!("{pool} is not ready")),
            }),
            status: text("status "),
            ring: text("ring "),
            nodes: text("nodes "),
            refused: Box::new(|_| ()),
        };
        let access = Access::of(&Config { admin_token: token.map(Into::into), ..Config::default() });
        let serving = tokio::spawn(serve(listener, views, access));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        serving.abort();
        String::from_utf8(answer).unwrap()
    }

    async fn ask(request: &[u8], is_ready: bool) -> String {
        ask_with(request, is_ready, None).await
    }

    async fn get(path: &str, is_ready: bool) -> String {
        ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes(), is_ready).await
    }

    #[tokio::test]
    async fn metrics_are_text_of_the_exposition_format() {
        let answer = get("/metrics", true).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{answer}");
        assert!(answer.ends_with("circlet_sessions 7\n"), "{answer}");
    }

    #[tokio::test]
    async fn readiness_says_why_not() {
        assert!(get("/readyz", true).await.starts_with("HTTP/1.1 200 OK\r\n"));
        let answer = get("/readyz", false).await;
        assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
        assert!(answer.ends_with("no node can be reached\n"), "{answer}");
        assert!(get("/healthz", false).await.starts_with("HTTP/1.1 200 OK\r\n"));
    }

    #[tokio::test]
    async fn a_pool_is_asked_for_by_its_name() {
        for (path, end) in [
            ("/api/status", "status 0"),
            ("/api/ring?x=1&pool=a%20b", "ring 1"),
            ("/api/nodes?pool=a+b", "nodes 1"),
            ("/readyz?pool=a+b", "1 is not ready\n"),
        ] {
            assert!(get(path, true).await.ends_with(&format!("\r\n\r\n{end}")), "{path}: {}", get(path, true).await);
        }
        for path in ["/api/status?pool=c", "/readyz?pool=c"] {
            let answer = get(path, true).await;
            assert!(answer.starts_with("HTTP/1.1 404 ") && answer.ends_with("there is no pool c\n"), "{answer}");
        }
    }

    #[tokio::test]
    async fn head_is_answered_without_a_body() {
        let answer = ask(b"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", true).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }

    #[tokio::test]
    async fn other_paths_and_methods_are_refused() {
        assert!(get("/nosuch", true).await.starts_with("HTTP/1.1 404 Not Found\r\n"));
        assert!(get("/../metrics", true).await.starts_with("HTTP/1.1 404 Not Found\r\n"));
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "FOO"] {
            let request = format!("{method} /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            let answer = ask(request.as_bytes(), true).await;
            assert!(answer.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{answer}");
            assert!(answer.contains("\r\nallow: GET, HEAD\r\n"), "{answer}");
        }
    }

    #[tokio::test]
    async fn every_answer_has_the_policy() {
        for path in
            ["/", "/page.js", "/page.css", "/icon.svg", "/api/status", "/api/ring", "/api/nodes", "/metrics", "/nosuch"]
        {
            let answer = get(path, true).await;
            for line in [
                "content-security-policy: default-src 'none'; script-src 'self';",
                "x-content-type-options: nosniff\r\n",
                "cache-control: no-store\r\n",
            ] {
                assert!(answer.contains(&format!("\r\n{line}")), "{path}: {answer}");
            }
        }
        assert!(get("/", true).await.contains("content-type: text/html; charset=utf-8\r\n"));
        assert!(get("/api/status", true).await.contains("content-type: application/json\r\n"));
    }

    #[tokio::test]
    async fn who_is_not_let_in_is_told_why() {
        let request = |more: &str| format!("GET /metrics HTTP/1.1\r\n{more}\r\n\r\n").into_bytes();
        let answer = ask(&request("Host: evil.example"), true).await;
        assert!(
            answer.starts_with("HTTP/1.1 421 ") && answer.contains("evil.example is no name of this address"),
            "{answer}"
        );
        assert!(ask(b"GET / HTTP/1.0\r\n\r\n", true).await.starts_with("HTTP/1.0 400 "));
        let token = Some("0123456789abcdef");
        let answer = ask_with(&request("Host: localhost"), true, token).await;
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("www-authenticate: Basic realm="), "{answer}");
        assert!(answer.contains("www-authenticate: Bearer") && answer.contains("connection: close\r\n"), "{answer}");
        let right = request("Host: localhost\r\nConnection: close\r\nAuthorization: Bearer 0123456789abcdef");
        assert!(ask_with(&right, true, token).await.starts_with("HTTP/1.1 200 "));
        let health = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        assert!(ask_with(health, true, token).await.starts_with("HTTP/1.1 200 "));
    }

    #[tokio::test]
    async fn an_endless_head_is_refused() {
        let mut request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ".to_vec();
        request.resize(2 * MAX_HEAD, b'a');
        let answer = ask(&request, true).await;
        assert!(answer.starts_with("HTTP/1.1 431 ") || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }

    #[tokio::test]
    async fn bytes_that_are_no_http_are_refused() {
        let answer = ask(b"*1\r\n$4\r\nPING\r\n", true).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
}
