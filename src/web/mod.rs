//! The edge to people: the page and its JSON.

pub mod view;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use tokio::sync::watch;

use self::view::View;

/// The page's usual port.
pub const PORT: u16 = 8900;

/// Serves the JSON for as long as the runtime runs, and answers where.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(address: SocketAddr, views: watch::Receiver<Arc<View>>) -> std::io::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let present = |State(views): State<watch::Receiver<Arc<View>>>| async move { Json(View::clone(&views.borrow())) };
    tokio::spawn(axum::serve(listener, axum::Router::new().route("/api/view", get(present)).with_state(views)).into_future());
    Ok(address)
}
