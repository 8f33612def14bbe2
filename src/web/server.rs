//! The page and its JSON over HTTP, for the person at this machine. It shows, and changes nothing.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::stream::{self, Stream};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

use super::headline::Told;
use super::view::View;

/// Ports that are tried, beginning with the wished one: so many demos run beside each other before one has to be told where.
const PORTS: u16 = 20;
/// The least time between two events of one stream. Figures that change more often cannot be read.
const BETWEEN: Duration = Duration::from_millis(200);
/// A stream without news says that it lives, so that the page can tell a still world from a lost one.
const ALIVE: Duration = Duration::from_secs(4);

/// Scripts, styles and data come from here and nowhere else, nothing is written inline, no text becomes markup, and nobody frames the page.
const POLICY: &str = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'";

/// What could not be served.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// No port is free.
    #[error("listen on {address} and the {} ports after it; choose another one by flag", PORTS - 1)]
    Listen {
        /// What was wished.
        address: SocketAddr,
        /// Why the last one tried cannot be had.
        source: std::io::Error,
    },
}

/// Serves the page and its JSON for as long as the runtime runs, and answers where: at the wished address, or at the next free port.
///
/// # Errors
/// No port can be listened on.
pub async fn serve(wish: SocketAddr, views: watch::Receiver<Arc<View>>) -> Result<SocketAddr, WebError> {
    let failed = |source| WebError::Listen { address: wish, source };
    let listener = listen(wish).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes(views)).await {
            tracing::error!(%address, %error, "stopped serving the page");
        }
    });
    Ok(address)
}

/// Listens at the wished address, or at the next port that is free.
async fn listen(wish: SocketAddr) -> std::io::Result<TcpListener> {
    let mut address = wish;
    for _ in 1..PORTS {
        match (TcpListener::bind(address).await, address.port().checked_add(1)) {
            (Err(error), Some(next)) if error.kind() == std::io::ErrorKind::AddrInUse => address.set_port(next),
            (result, _) => return result,
        }
    }
    TcpListener::bind(address).await
}

fn routes(views: watch::Receiver<Arc<View>>) -> Router {
    let asset = |kind: &'static str, text: &'static str| get(move || std::future::ready(([(header::CONTENT_TYPE, kind)], text)));
    Router::new()
        .route("/", asset("text/html; charset=utf-8", include_str!("page/index.html")))
        .route("/page.css", asset("text/css; charset=utf-8", include_str!("page/page.css")))
        .route("/page.js", asset("text/javascript; charset=utf-8", include_str!("page/page.js")))
        .route("/icon.svg", asset("image/svg+xml", include_str!("page/icon.svg")))
        .route("/api/view", get(present))
        .route("/api/views", get(course))
        .with_state(views)
        .layer(middleware::from_fn(guard))
}

/// The present view.
async fn present(State(views): State<watch::Receiver<Arc<View>>>) -> Response {
    let view = views.borrow().clone();
    Json(Told::of(&view)).into_response()
}

/// The present view and each later one, or the last of those that came too fast.
async fn course(State(mut views): State<watch::Receiver<Arc<View>>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    views.mark_changed();
    let events = stream::unfold((views, Instant::now()), |(mut views, earliest)| async move {
        tokio::time::sleep_until(earliest).await;
        if views.changed().await.is_err() {
            // Nobody makes views any more: the last one stays true for as long as this process lives.
            std::future::pending::<()>().await;
        }
        let view = views.borrow_and_update().clone();
        let event = serde_json::to_string(&Told::of(&view)).map(|json| Event::default().data(json));
        let event = event.unwrap_or_else(|error| Event::default().event("problem").data(error.to_string()));
        Some((Ok(event), (views, Instant::now() + BETWEEN)))
    });
    // An event without data would not reach the page.
    Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE).event(Event::default().event("alive").data("alive")))
}

/// Refuses what a foreign page may have sent, and tells the browser how little this page needs.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = if is_ours(request.headers()) {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "this page is served to localhost and to IP addresses only; open it under one of them\n").into_response()
    };
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    response.headers_mut().extend(headers.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

/// Whether a request names a host that no name server can have bent towards us (DNS rebinding): localhost or an IP address.
fn is_ours(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use serde_json::Value;

    use super::*;

    const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn titled(title: &str) -> Arc<View> {
        Arc::new(View { title: title.to_owned(), ..View::default() })
    }

    async fn served(view: Arc<View>) -> (watch::Sender<Arc<View>>, SocketAddr) {
        let (sender, receiver) = watch::channel(view);
        (sender, serve(ANY, receiver).await.expect("a free port"))
    }

    /// The data of the next event with a view.
    async fn next_view(answer: &mut reqwest::Response) -> Value {
        let mut text = String::new();
        loop {
            text.push_str(std::str::from_utf8(&answer.chunk().await.expect("a stream").expect("no end")).expect("UTF-8"));
            let lines = text.strip_suffix("\n\n").unwrap_or_default().lines();
            if let Some(data) = lines.filter_map(|line| line.strip_prefix("data: ")).next_back() {
                return serde_json::from_str(data).expect("JSON");
            }
        }
    }

    #[tokio::test]
    async fn each_answer_forbids_what_the_page_does_not_need() {
        let (_views, address) = served(titled("a world")).await;
        for (path, kind) in [
            ("", "text/html"),
            ("page.css", "text/css"),
            ("page.js", "text/javascript"),
            ("icon.svg", "image/svg+xml"),
            ("api/view", "application/json"),
        ] {
            let answer = reqwest::get(format!("http://{address}/{path}")).await.expect("an answer");
            assert_eq!(answer.status(), 200, "/{path}");
            let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
            assert!(header("content-type").starts_with(kind), "/{path} is {}", header("content-type"));
            assert!(header("content-security-policy").starts_with("default-src 'self';"), "/{path}");
            assert_eq!((header("x-content-type-options").as_str(), header("cache-control").as_str()), ("nosniff", "no-store"), "/{path}");
        }
    }

    #[tokio::test]
    async fn a_host_that_others_can_bend_is_refused() {
        let (_views, address) = served(titled("a world")).await;
        let client = reqwest::Client::new();
        let hosts = [
            ("localhost:8900", 200),
            ("127.0.0.1:8900", 200),
            ("[::1]:8900", 200),
            ("LocalHost", 200),
            ("evil.example", 403),
            ("localhost.evil.example:8900", 403),
            ("127.0.0.1.evil.example", 403),
        ];
        for (host, status) in hosts {
            let answer = client.get(format!("http://{address}/api/view")).header("host", host).send().await.expect("an answer");
            assert_eq!(answer.status(), status, "{host}");
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_no_reason_to_fail() {
        let (_views, first) = served(titled("first")).await;
        let (_sender, receiver) = watch::channel(titled("second"));
        let second = serve(first, receiver).await.expect("another port");
        assert!(second.port() > first.port(), "{second} after {first}");
        assert_eq!(next_view(&mut reqwest::get(format!("http://{second}/api/views")).await.expect("an answer")).await["title"], "second");
    }

    #[tokio::test]
    async fn a_stream_begins_with_the_present_and_tells_the_latest() {
        let (views, address) = served(titled("first")).await;
        let mut stream = reqwest::get(format!("http://{address}/api/views")).await.expect("an answer");
        let first = next_view(&mut stream).await;
        assert_eq!(first["title"], "first");
        assert_eq!(first["headline"], "No message waits, no worker runs, and no machine is paid for.");
        for number in 0..100 {
            views.send_replace(titled(&format!("number {number}")));
        }
        // All hundred came within the pause; what is told after it is the last.
        assert_eq!(next_view(&mut stream).await["title"], "number 99");
        // Without a maker of views, the last one stays.
        drop(views);
        let view: Value = reqwest::get(format!("http://{address}/api/view")).await.expect("an answer").json().await.expect("JSON");
        assert_eq!(view["title"], "number 99");
        assert_eq!(
            next_view(&mut reqwest::get(format!("http://{address}/api/views")).await.expect("an answer")).await["title"],
            "number 99"
        );
    }
}
