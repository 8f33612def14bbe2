//! A reverse proxy before kube-apiserver: plain HTTP in, TLS out, tokens passed through, and watches that lag behind.
//!
//! It shows what a daemon does when its picture of the cluster is old while its writes still work.
//! Clients need a token: a client certificate does not pass through.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::plane::Plane;
use crate::tcp_proxy::TcpProxy;

/// Headers that belong to one hop (RFC 9110, 7.6.1), and the host, which is another behind the proxy.
const ONE_HOP: [HeaderName; 6] =
    [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::TE, header::TRAILER, header::HOST];

/// Pieces of one watch that may be under way; beyond it the server waits.
const UNDER_WAY: usize = 10_000;

/// A proxy before a plane's API server; it closes when dropped.
pub struct HttpProxy {
    // In front of the HTTP server, because connections are cut there.
    line: TcpProxy,
    watch_delay: watch::Sender<Duration>,
    serving: JoinHandle<()>,
}

struct Upstream {
    url: String,
    client: reqwest::Client,
    watch_delay: watch::Receiver<Duration>,
}

impl HttpProxy {
    /// Listens on a free port of loopback, without any delay at first.
    pub async fn start(plane: &Plane) -> Result<Self> {
        let authority = tokio::fs::read(plane.certificate_authority()).await.context("cannot read the plane's authority")?;
        let authority = reqwest::Certificate::from_pem(&authority)?;
        let client = reqwest::Client::builder().tls_certs_only([authority]).no_proxy().build()?;
        let (watch_delay, delays) = watch::channel(Duration::ZERO);
        let upstream = Arc::new(Upstream { url: plane.server_url(), client, watch_delay: delays });
        let listener = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen on 127.0.0.1")?;
        let inner = listener.local_addr()?;
        let router = axum::Router::new().fallback(forward).with_state(upstream);
        let serving = tokio::spawn(async move {
            // It ends with the proxy.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { line: TcpProxy::start(inner).await?, watch_delay, serving })
    }

    /// The server's URL as clients are to be told.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.line.address()
    }

    /// Delays what watches say from now on; everything else passes at once.
    pub fn delay_watches(&self, delay: Duration) {
        self.watch_delay.send_replace(delay);
    }

    /// The line before the proxy: delay, cut, close and open it as a whole.
    pub fn line(&self) -> &TcpProxy {
        &self.line
    }
}

impl Drop for HttpProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn forward(State(upstream): State<Arc<Upstream>>, request: Request) -> Response {
    let is_watch = request.uri().query().is_some_and(|query| query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1")));
    match send(&upstream, request).await {
        Ok(answer) => {
            let (status, headers) = (answer.status(), without_hop(answer.headers()));
            let pieces = answer.bytes_stream();
            let delay = upstream.watch_delay.clone();
            let body = if is_watch { Body::from_stream(delayed(pieces, delay)) } else { Body::from_stream(pieces) };
            (status, headers, body).into_response()
        }
        Err(error) => (StatusCode::BAD_GATEWAY, format!("the proxy cannot reach the API server: {error}")).into_response(),
    }
}

async fn send(upstream: &Upstream, request: Request) -> reqwest::Result<reqwest::Response> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let body = reqwest::Body::wrap_stream(body.into_data_stream());
    let request = upstream.client.request(parts.method, format!("{}{path}", upstream.url)).headers(without_hop(&parts.headers));
    request.body(body).send().await
}

fn without_hop(headers: &HeaderMap) -> HeaderMap {
    headers.iter().filter(|(name, _)| !ONE_HOP.contains(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The same pieces in the same order, each after the delay that holds when it comes.
fn delayed<T: Send + 'static>(
    pieces: impl Stream<Item = T> + Send + 'static,
    delay: watch::Receiver<Duration>,
) -> impl Stream<Item = T> + Send {
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    tokio::spawn(async move {
        let mut pieces = std::pin::pin!(pieces);
        loop {
            let piece = tokio::select! {
                // A client that left must not leave its watch open upstream.
                () = sender.closed() => return,
                piece = pieces.next() => piece,
            };
            let Some(piece) = piece else { return };
            let due = Instant::now() + *delay.borrow();
            if sender.send((due, piece)).await.is_err() {
                return;
            }
        }
    });
    futures::stream::unfold(receiver, |mut receiver| async {
        let (due, piece) = receiver.recv().await?;
        sleep_until(due).await;
        Some((piece, receiver))
    })
}
