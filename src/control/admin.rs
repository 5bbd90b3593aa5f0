//! The admin address: `/metrics`, `/healthz` and `/readyz` over HTTP/1.1.
//!
//! It only reads, and asks for its answers through [`Views`], so it knows nothing of workers and nodes. GET and HEAD of
//! the three paths are answered; other paths are 404, other methods 405. Bounds: [`MAX_CONNECTIONS`] at a time (more wait
//! in the kernel's backlog), [`MAX_HEAD`] bytes and [`MAX_HEADERS`] headers per request, [`HEAD_TIME`] for them to arrive, and
//! [`CONNECTION_TIME`] for a connection's whole life, so that a client that reads nothing holds its place no longer. Io.

use std::{fmt, io, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

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

/// Where the answers come from.
pub struct Views {
    /// The text that Prometheus scrapes.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// `Err` with the reason when clients should not be sent here.
    pub ready: Box<dyn Fn() -> Result<String, String> + Send + Sync>,
}

impl fmt::Debug for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Views")
    }
}

/// Serves `views` on `listener` until dropped.
///
/// # Errors
/// Only if the socket cannot be registered with the event loop.
pub async fn serve(listener: std::net::TcpListener, views: Views) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let router = router(views);
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

fn router(views: Views) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .fallback(|| async { (StatusCode::NOT_FOUND, "not found; there are /metrics, /healthz and /readyz\n") })
        .with_state(Arc::new(views))
}

async fn metrics(State(views): State<Arc<Views>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (views.metrics)())
}

async fn ready(State(views): State<Arc<Views>>) -> impl IntoResponse {
    match (views.ready)() {
        Ok(text) => (StatusCode::OK, format!("{text}\n")),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
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

    /// Sends `request` to an admin that is ready or not; gives the whole answer.
    async fn ask(request: &[u8], is_ready: bool) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let views =
            Views {
                metrics: Box::new(|| "circlet_sessions 7\n".to_owned()),
                ready: Box::new(move || {
                    if is_ready { Ok("ready".to_owned()) } else { Err("no node can be reached".to_owned()) }
                }),
            };
        let serving = tokio::spawn(serve(listener, views));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        serving.abort();
        String::from_utf8(answer).unwrap()
    }

    async fn get(path: &str, is_ready: bool) -> String {
        ask(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes(), is_ready).await
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
    async fn head_is_answered_without_a_body() {
        let answer = ask(b"HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", true).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }

    #[tokio::test]
    async fn other_paths_and_methods_are_refused() {
        assert!(get("/", true).await.starts_with("HTTP/1.1 404 Not Found\r\n"));
        let answer = ask(b"POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", true).await;
        assert!(answer.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{answer}");
    }

    #[tokio::test]
    async fn an_endless_head_is_refused() {
        let mut request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: ".to_vec();
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
