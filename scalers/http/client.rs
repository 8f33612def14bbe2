//! Asking: one client for all that read from one server, answers of a bounded size, and errors that repeat no secret.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use reqwest::header::HeaderMap;
use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use springtide_core::Timestamp;
use tokio::time::{Instant, timeout_at};

use super::{Login, Place, Server, Trouble};
use crate::broker::{Answer, Moment, together};
use crate::error::Error;
use crate::oauth2::{Issuer, Token};
use crate::secret::Secret;
use crate::tls::Tls;

/// The largest answer that is taken: more than any page of metrics has, and no harm to hold.
const LARGEST: usize = 16 << 20;
/// How much of an answer that is an error is repeated.
const EXCERPT: usize = 200;
/// How often a server may send us on, within itself.
const REDIRECTIONS: usize = 5;

/// A client, which keeps its connections, and the token that it shows.
pub(crate) struct Session {
    http: reqwest::Client,
    /// For clouds that give us tokens. They are no part of the server, and prove who they are whatever the trigger says of it.
    issuers: Option<reqwest::Client>,
    token: Token,
}

/// One read: the client with what it shows, and until when it may take.
pub(crate) struct Asker<'a> {
    server: &'a Server,
    http: reqwest::Client,
    bearer: Option<Secret>,
    now: Timestamp,
    until: Instant,
    patience: Duration,
}

/// One request below a server's base.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Question<'a> {
    pub path: &'a str,
    pub parameters: &'a [(&'a str, &'a str)],
    pub headers: &'a [(&'a str, &'a str)],
    /// What is sent as JSON, by POST. Without it, the request is a GET.
    pub body: Option<&'a Value>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answered {
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Place {
    /// A client. Nothing is sent yet.
    pub(crate) fn open(&self) -> Result<Session, Error> {
        self.server()?.open()
    }

    /// The server.
    pub(crate) fn server(&self) -> Result<&Server, Error> {
        match self {
            Self::At(server) => Ok(server),
            Self::Nowhere(name, reason) => Err(Error::Configure { broker: (*name).to_owned(), reason: reason.clone() }),
        }
    }
}

impl Server {
    /// A client. Nothing is sent yet.
    pub(crate) fn open(&self) -> Result<Session, Error> {
        let fault = |reason: &str| Error::Configure { broker: self.address(), reason: reason.to_owned() };
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
        let of_cloud = |login: &Login| matches!(login, Login::Token(issuer) if !matches!(issuer, Issuer::Credentials(_)));
        let issuers = self.logins.iter().any(of_cloud).then(|| verified(&self.address())).transpose()?;
        Ok(Session { http, issuers, token: Token::default() })
    }

    /// What a read asks with.
    pub(crate) async fn asker(&self, session: &mut Session, moment: Moment) -> Result<Asker<'_>, Error> {
        // A little before nobody waits any more, so that one question without an answer does not take the others' answers with it.
        let until = Instant::now() + moment.patience * 9 / 10;
        let mut bearer = None;
        for login in &self.logins {
            match login {
                Login::Token(issuer) => bearer = Some(session.token.get(issuer, session.issuers.as_ref().unwrap_or(&session.http)).await?),
                Login::Bearer(token) => bearer = Some(token.clone()),
                _ => {}
            }
        }
        Ok(Asker { server: self, http: session.http.clone(), bearer, now: moment.now, until, patience: moment.patience })
    }
}

/// A client that trusts the machine's authorities and nobody else. `asker` is for whom it is, in errors.
pub(crate) fn verified(asker: &str) -> Result<reqwest::Client, Error> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(Tls::VERIFIED.client_config(asker)?)
        .user_agent("springtide")
        .redirect(Policy::none())
        .build()
        .map_err(|error| Error::Connect { broker: asker.to_owned(), source: error.into() })
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
    /// The same for another address that means the same server: one of the pods behind it.
    pub(crate) fn at<'a>(&self, server: &'a Server) -> Asker<'a> {
        Asker { server, http: self.http.clone(), bearer: self.bearer.clone(), until: self.until, patience: self.patience, now: self.now }
    }

    /// What JSON stands at a path below the server's base. `what` names it in errors.
    pub(crate) async fn get_json<T: DeserializeOwned>(&self, path: &str, parameters: &[(&str, &str)], what: &str) -> Result<T, Error> {
        let body = self.get(path, parameters, what).await?;
        serde_json::from_slice(&body).map_err(|error| self.unreadable(what, error))
    }

    /// What stands at a path below the server's base.
    pub(crate) async fn get(&self, path: &str, parameters: &[(&str, &str)], what: &str) -> Result<Vec<u8>, Error> {
        Ok(self.ask(Question { path, parameters, ..Question::default() }, what).await?.body)
    }

    /// What one request brings. `what` names it in errors.
    pub(crate) async fn ask(&self, question: Question<'_>, what: &str) -> Result<Answered, Error> {
        // The futures of requests are large, and many of them wait in one place.
        timeout_at(self.until, self.exchange(question, what).boxed())
            .await
            .unwrap_or_else(|_| Err(Error::Wait { broker: self.server.address(), after: self.patience }))
    }

    /// Where the server is, for people.
    pub(crate) fn address(&self) -> String {
        self.server.address()
    }

    /// The error of an answer that makes no sense.
    pub(crate) fn unreadable(&self, what: &str, source: impl Into<crate::error::Cause>) -> Error {
        Error::Decode { broker: self.server.address(), what: what.to_owned(), source: source.into() }
    }

    /// The error of an answer that makes sense and holds no number.
    pub(crate) fn without_number(&self, what: &str, reason: impl Into<String>) -> Error {
        Error::Inspect { broker: self.server.address(), what: what.to_owned(), reason: reason.into() }
    }

    async fn exchange(&self, question: Question<'_>, what: &str) -> Result<Answered, Error> {
        let broker = || self.server.address();
        let unasked = |error: reqwest::Error| Error::Ask { broker: broker(), source: error.without_url().into() };
        let mut request = self.request(question).build().map_err(unasked)?;
        let signatures = self.sign(&mut request)?;
        let answer = self.http.execute(request).await.map_err(|error| {
            let refused = error.is_connect();
            let source = error.without_url().into();
            if refused { Error::Connect { broker: broker(), source } } else { Error::Ask { broker: broker(), source } }
        })?;
        let status = answer.status();
        let headers = answer.headers().clone();
        let body = bounded(answer).await.map_err(unasked)?;
        let Some(body) = body else {
            let reason = format!("more than the {} MiB that are taken; ask for less", LARGEST >> 20);
            return Err(Error::Inspect { broker: broker(), what: what.to_owned(), reason });
        };
        if status.is_success() { Ok(Answered { headers, body }) } else { Err(self.refusal(status, &body, what, &signatures)) }
    }

    fn request(&self, Question { path, parameters, headers, body }: Question<'_>) -> reqwest::RequestBuilder {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let mut request = self.http.request(method, format!("{}{path}", self.server.base));
        if !parameters.is_empty() {
            request = request.query(parameters);
        }
        for (name, text) in headers {
            request = request.header(*name, *text);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        for login in &self.server.logins {
            request = match login {
                Login::Password(user, password) => request.basic_auth(user.expose(), password.as_ref().map(Secret::expose)),
                Login::Header(name, text) => request.header(name, text.expose()),
                Login::Parameter(name, text) => request.query(&[(name, text.expose())]),
                Login::Bearer(_) | Login::Token(_) | Login::StorageKey(_) | Login::NamespaceKey(_) => request,
            };
        }
        match &self.bearer {
            Some(bearer) => request.bearer_auth(bearer.expose()),
            None => request,
        }
    }

    /// Adds the signatures of a request that is otherwise whole, and returns them: an error is not to repeat one.
    fn sign(&self, request: &mut reqwest::Request) -> Result<Vec<Secret>, Error> {
        let mut signatures = Vec::new();
        for login in &self.server.logins {
            signatures.push(match login {
                Login::StorageKey(key) => key.sign(request, self.now),
                Login::NamespaceKey(key) => key.sign(request, self.now),
                _ => continue,
            });
        }
        let unsigned = |reason| Error::Configure { broker: self.server.address(), reason };
        signatures.into_iter().collect::<Result<_, _>>().map_err(unsigned)
    }

    /// What an answer that is none means.
    fn refusal(&self, status: StatusCode, body: &[u8], what: &str, signatures: &[Secret]) -> Error {
        let (broker, what) = (self.server.address(), what.to_owned());
        let reason = format!("{status}: {}", self.excerpt(body, signatures));
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
    fn excerpt(&self, body: &[u8], signatures: &[Secret]) -> String {
        let mut text = String::from_utf8_lossy(body.get(..16 * EXCERPT).unwrap_or(body)).into_owned();
        let mut shown: Vec<&Secret> = self.bearer.iter().chain(signatures).collect();
        for login in &self.server.logins {
            match login {
                Login::Password(_, password) => shown.extend(password),
                Login::Header(_, text) | Login::Parameter(_, text) => shown.push(text),
                Login::StorageKey(key) => shown.push(&key.key),
                Login::NamespaceKey(key) => shown.push(&key.key),
                Login::Bearer(_) | Login::Token(_) => {}
            }
        }
        for secret in shown.into_iter().filter(|secret| !secret.expose().is_empty()) {
            text = text.replace(secret.expose(), "***");
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(EXCERPT).collect()
    }
}
