//! A server over HTTP for tests: it answers from a table, takes down what it is asked, and can hold its tongue.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use springtide_core::Timestamp;

use crate::broker::Moment;

/// A read as the poller begins it.
pub(crate) const MOMENT: Moment = Moment { now: Timestamp::UNIX_EPOCH, patience: Duration::from_secs(3) };

/// The server's table and its record, shared by all who have it.
#[derive(Clone, Default)]
pub(crate) struct Fake {
    answers: Arc<Mutex<Vec<(String, u16, String)>>>,
    asked: Arc<Mutex<Vec<(String, HeaderMap)>>>,
}

/// The status of an answer that never comes.
const SILENCE: u16 = 0;

impl Fake {
    /// Answers requests whose path and query begin with `start`, from now on.
    pub(crate) fn answer(&self, start: &str, status: u16, body: impl Into<String>) {
        let mut answers = self.answers();
        answers.retain(|(other, ..)| other != start);
        answers.push((start.to_owned(), status, body.into()));
    }

    /// Takes such requests and never answers them.
    pub(crate) fn hang(&self, start: &str) {
        self.answer(start, SILENCE, "");
    }

    /// The paths and queries that were asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.record().iter().map(|(path, _)| path.clone()).collect()
    }

    /// What each request had in this header.
    pub(crate) fn headers(&self, name: &str) -> Vec<String> {
        let text = |headers: &HeaderMap| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        self.record().iter().map(|(_, headers)| text(headers)).collect()
    }

    /// Begins to answer. Its host and port.
    pub(crate) async fn serve(&self) -> String {
        self.serve_at(([127, 0, 0, 1], 0).into()).await
    }

    /// The same, at an address.
    pub(crate) async fn serve_at(&self, address: SocketAddr) -> String {
        let listener = tokio::net::TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(respond).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address.to_string()
    }

    /// The same, with a user and a password before the host.
    pub(crate) async fn serve_user(&self) -> String {
        format!("u:s3cret@{}", self.serve().await)
    }

    fn answers(&self) -> MutexGuard<'_, Vec<(String, u16, String)>> {
        self.answers.lock().expect("no test panics with it")
    }

    fn record(&self) -> MutexGuard<'_, Vec<(String, HeaderMap)>> {
        self.asked.lock().expect("no test panics with it")
    }

    fn find(&self, path: &str) -> Option<(u16, String)> {
        self.answers().iter().find(|(start, ..)| path.starts_with(start)).map(|(_, status, body)| (*status, body.clone()))
    }
}

async fn respond(State(fake): State<Fake>, request: Request) -> Response {
    let path = request.uri().to_string();
    fake.record().push((path.clone(), request.headers().clone()));
    match fake.find(&path) {
        Some((SILENCE, _)) => pending().await,
        // Where to go on is the body of such an answer.
        Some((status @ 300..400, to)) => (StatusCode::from_u16(status).expect("a status"), [("location", to)]).into_response(),
        Some((status, body)) => (StatusCode::from_u16(status).expect("a status"), body).into_response(),
        None => (StatusCode::NOT_FOUND, r#"{"error":"Object Not Found","reason":"Not Found"}"#).into_response(),
    }
}
