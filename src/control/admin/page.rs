//! The status page: four files that are part of the program, and nothing loaded from elsewhere.
//!
//! `page/page.js` draws what `/api/…` says. No build step: what stands in `page/` is what browsers get.

use axum::{Router, http::header, response::IntoResponse, routing::get};

const HTML: &str = include_str!("page/page.html");
const CSS: &str = include_str!("page/page.css");
const JS: &str = include_str!("page/page.js");
const ICON: &str = include_str!("page/icon.svg");

/// The page's paths.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(|| async { file("text/html; charset=utf-8", HTML) }))
        .route("/page.css", get(|| async { file("text/css; charset=utf-8", CSS) }))
        .route("/page.js", get(|| async { file("text/javascript; charset=utf-8", JS) }))
        .route("/icon.svg", get(|| async { file("image/svg+xml", ICON) }))
}

fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind)], text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a network would have to carry.
    const MOST: usize = 64 << 10;

    #[test]
    fn the_page_is_small_and_loads_nothing_from_elsewhere() {
        assert!(HTML.len() + CSS.len() + JS.len() + ICON.len() < MOST);
        for text in [HTML, CSS, JS] {
            let namespace = "http://www.w3.org/2000/svg";
            assert!(!text.replace(namespace, "").contains("//www") && !text.contains("https:"), "an address elsewhere");
        }
        for inline in ["style=", "<style", "onclick", "onload", "javascript:"] {
            assert!(!HTML.contains(inline), "{inline} is not allowed by the policy");
        }
        for markup in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!JS.contains(markup), "{markup} would make markup of names");
        }
    }
}
