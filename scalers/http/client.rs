//! Asking: one client for all that read from one server, answers of a bounded size, and errors that repeat no secret.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use reqwest::StatusCode;
use reqwest::redirect::{Action, Attempt, Policy};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use super::{Login, Server, Trouble};
use crate::broker::{Answer, Moment, together};
use crate::error::Error;
use crate::oauth2::Token;
use crate::secret::Secret;

/// The largest answer that is taken: more than any page of metrics has, and no harm to hold.
const LARGEST: usize = 16 << 20;
/// How much of an answer that is an error is repeated.
const EXCERPT: usize = 200;
/// How often a server may send us on, within itself.
const REDIRECTIONS: usize = 5;

/// A client, which keeps its connections, and the token that it shows.
pub(crate) struct Session {
    http: reqwest::Client,
    token: Token,
}

/// One read: the client with what it shows, and until when it may take.
pub(crate) struct Asker<'a> {
    server: &'a Server,
    http: reqwest::Client,
    bearer: Option<Secret>,
    until: Instant,
    patience: Duration,
}

impl Server {
    /// A client. Nothing is sent yet.
    pub(crate) fn open(&self) -> Result<Session, Error> {
        let fault = |reason: &str| Error::Configure { broker: self.address(), reason: reason.to_owned() };
        if self.logins.contains(&Login::WorkloadIdentity) {
            return Err(fault("Azure workload identity is not built yet; use username and password, or OAuth2 client credentials"));
        }
        let builder = match self.base.split_once("://").map(|(scheme, _)| scheme) {
            Some("http") => reqwest::Client::builder(),
            Some("https") => reqwest::Client::builder().tls_backend_preconfigured(self.tls.client_config(&self.address())?),
            _ => return Err(fault("it is to be asked over HTTP, but its address is no http:// or https:// URL; correct one of them")),
        };
        let http = builder
            .user_agent("springtide")
            .redirect(Policy::custom(within_server))
            .build()
            .map_err(|error| Error::Connect { broker: self.address(), source: error.into() })?;
        Ok(Session { http, token: Token::default() })
    }

    /// What a read asks with.
    pub(crate) async fn asker(&self, session: &mut Session, moment: Moment) -> Result<Asker<'_>, Error> {
        // A little before nobody waits any more, so that one question without an answer does not take the others' answers with it.
        let until = Instant::now() + moment.patience * 9 / 10;
        let mut bearer = None;
        for login in &self.logins {
            match login {
                Login::Token(credentials) => bearer = Some(session.token.get(credentials, &session.http).await?),
                Login::Bearer(token) => bearer = Some(token.clone()),
                _ => {}
            }
        }
        Ok(Asker { server: self, http: session.http.clone(), bearer, until, patience: moment.patience })
    }
}

/// Follows a server within itself. Elsewhere, what we show would reach somebody whom the user did not name.
fn within_server(attempt: Attempt<'_>) -> Action {
    let stays = attempt.previous().first().is_some_and(|first| first.origin() == attempt.url().origin());
    if stays && attempt.previous().len() <= REDIRECTIONS { attempt.follow() } else { attempt.stop() }
}

/// The answers of one read, in their order; an outer error where all of them would be the same.
pub(crate) async fn gather(
    session: &mut Session,
    asked: Vec<BoxFuture<'_, Result<Answer, Error>>>,
) -> Result<Vec<Result<Answer, Error>>, Error> {
    let answers = together(asked).await?;
    if answers.iter().any(|answer| matches!(answer, Err(Error::LogIn { .. }))) {
        session.token.forget();
    }
    Ok(answers)
}

/// The body of an answer; none if it is larger than any that is taken.
pub(crate) async fn bounded(mut answer: reqwest::Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > LARGEST {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

impl Asker<'_> {
    /// What JSON stands at a path below the server's base. `what` names it in errors.
    pub(crate) async fn get_json<T: DeserializeOwned>(&self, path: &str, parameters: &[(&str, &str)], what: &str) -> Result<T, Error> {
        let body = self.get(path, parameters, what).await?;
        serde_json::from_slice(&body).map_err(|error| self.unreadable(what, error))
    }

    /// What stands at a path below the server's base.
    pub(crate) async fn get(&self, path: &str, parameters: &[(&str, &str)], what: &str) -> Result<Vec<u8>, Error> {
        // The futures of requests are large, and many of them wait in one place.
        timeout_at(self.until, self.exchange(path, parameters, what).boxed())
            .await
            .unwrap_or_else(|_| Err(Error::Wait { broker: self.server.address(), after: self.patience }))
    }

    /// The error of an answer that makes no sense.
    pub(crate) fn unreadable(&self, what: &str, source: impl Into<crate::error::Cause>) -> Error {
        Error::Decode { broker: self.server.address(), what: what.to_owned(), source: source.into() }
    }

    /// The error of an answer that makes sense and holds no number.
    pub(crate) fn without_number(&self, what: &str, reason: impl Into<String>) -> Error {
        Error::Inspect { broker: self.server.address(), what: what.to_owned(), reason: reason.into() }
    }

    async fn exchange(&self, path: &str, parameters: &[(&str, &str)], what: &str) -> Result<Vec<u8>, Error> {
        let broker = || self.server.address();
        let answer = self.request(path, parameters).send().await.map_err(|error| {
            let refused = error.is_connect();
            let source = error.without_url().into();
            if refused { Error::Connect { broker: broker(), source } } else { Error::Ask { broker: broker(), source } }
        })?;
        let status = answer.status();
        let body = bounded(answer).await.map_err(|error| Error::Ask { broker: broker(), source: error.without_url().into() })?;
        let Some(body) = body else {
            let reason = format!("more than the {} MiB that are taken; ask for less", LARGEST >> 20);
            return Err(Error::Inspect { broker: broker(), what: what.to_owned(), reason });
        };
        if status.is_success() { Ok(body) } else { Err(self.refusal(status, &body, what)) }
    }

    fn request(&self, path: &str, parameters: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let mut request = self.http.get(format!("{}{path}", self.server.base));
        if !parameters.is_empty() {
            request = request.query(parameters);
        }
        for login in &self.server.logins {
            request = match login {
                Login::Password(user, password) => request.basic_auth(user.expose(), password.as_ref().map(Secret::expose)),
                Login::Header(name, text) => request.header(name, text.expose()),
                Login::Parameter(name, text) => request.query(&[(name, text.expose())]),
                Login::Bearer(_) | Login::Token(_) | Login::WorkloadIdentity => request,
            };
        }
        match &self.bearer {
            Some(bearer) => request.bearer_auth(bearer.expose()),
            None => request,
        }
    }

    /// What an answer that is none means.
    fn refusal(&self, status: StatusCode, body: &[u8], what: &str) -> Error {
        let (broker, what) = (self.server.address(), what.to_owned());
        let reason = format!("{status}: {}", self.excerpt(body));
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::LogIn { broker, reason },
            StatusCode::NOT_FOUND => Error::Find { broker, what },
            status if status.is_server_error() && self.server.trouble == Trouble::Server => Error::Ask { broker, source: reason.into() },
            status if status.is_redirection() => {
                let reason = format!("{status}, which points to another server; write that one's address");
                Error::Inspect { broker, what, reason }
            }
            _ => Error::Inspect { broker, what, reason },
        }
    }

    /// The beginning of a body, in one line, without what we showed: some servers repeat it.
    fn excerpt(&self, body: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(body.get(..16 * EXCERPT).unwrap_or(body)).into_owned();
        let mut shown: Vec<&Secret> = self.bearer.iter().collect();
        for login in &self.server.logins {
            match login {
                Login::Password(_, password) => shown.extend(password),
                Login::Header(_, text) | Login::Parameter(_, text) => shown.push(text),
                Login::Bearer(_) | Login::Token(_) | Login::WorkloadIdentity => {}
            }
        }
        for secret in shown.into_iter().filter(|secret| !secret.expose().is_empty()) {
            text = text.replace(secret.expose(), "***");
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(EXCERPT).collect()
    }
}
