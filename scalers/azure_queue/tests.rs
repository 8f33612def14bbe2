//! What a trigger of a storage queue accepts, and what it reads from an account in the same process that checks signatures.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use springtide_core::reading::Sample;

use super::*;
use crate::broker::Client as _;
use crate::fake::{Fake, MOMENT};
use crate::identity::Workload;
use crate::identity::azure::Federated;
use crate::trial::{self, Row, read_all};
use crate::{Error, ResolvedEnv};

const KEY: &str = "c2VjcmV0LWtleQ==";

/// A storage account: queues with counts, for those who sign with its key, show its signature, or its token.
#[derive(Clone)]
pub(crate) struct Double {
    pub address: String,
    account: &'static str,
    key: &'static str,
    /// Of each queue, how many messages it has and how many it shows.
    queues: Arc<Mutex<BTreeMap<String, (u32, usize)>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Double {
    /// Begins to serve.
    pub(crate) async fn serve(account: &'static str, key: &'static str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let double = Self { address, account, key, queues: Arc::default(), asked: Arc::default() };
        let router = Router::new().fallback(respond).with_state(double.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        double
    }

    pub(crate) fn set(&self, queue: &str, count: u32, seen: usize) {
        self.queues.lock().expect("no test panics with it").insert(queue.to_owned(), (count, seen));
    }

    fn connection(&self) -> String {
        format!("AccountName={};AccountKey={};QueueEndpoint=http://{}/{}", self.account, self.key, self.address, self.account)
    }

    /// Whether a request is of somebody who may ask, by the reference of Shared Key, or with a signature or token that this account knows.
    fn lets_in(&self, request: &Request) -> bool {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let query = request.uri().query().unwrap_or_default();
        if query.split('&').any(|pair| pair == "sig=a%2Bb%3D") || header("authorization") == "Bearer t0ken" {
            return true;
        }
        let resource = format!("/{}{}", self.account, request.uri().path());
        let mut parameters: Vec<String> = query.split('&').map(|pair| pair.replacen('=', ":", 1)).collect();
        parameters.sort();
        let lines = ["GET", "", "", "", "", "", "", "", "", "", "", ""];
        let own = [format!("x-ms-date:{}", header("x-ms-date")), format!("x-ms-version:{}", header("x-ms-version")), resource];
        let text = [lines.join("\n"), own.join("\n"), parameters.join("\n")].join("\n");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(self.key).expect("base64"));
        let signature = STANDARD.encode(hmac::sign(&key, text.as_bytes()));
        header("authorization") == format!("SharedKey {}:{signature}", self.account)
    }
}

async fn respond(State(double): State<Double>, request: Request) -> Response {
    let path = request.uri().to_string();
    double.asked.lock().expect("no test panics with it").push(path.clone());
    if !double.lets_in(&request) {
        let shown = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        return (StatusCode::FORBIDDEN, format!("<Error><Code>AuthenticationFailed</Code><Message>not {shown}</Message></Error>"))
            .into_response();
    }
    let rest = request.uri().path().trim_start_matches(&format!("/{}", double.account)).trim_start_matches('/').to_owned();
    let queue = rest.trim_end_matches("/messages");
    let Some((count, seen)) = double.queues.lock().expect("no test panics with it").get(queue).copied() else {
        return (StatusCode::NOT_FOUND, "<Error><Code>QueueNotFound</Code></Error>").into_response();
    };
    if path.contains("peekonly=true") && path.contains("numofmessages=32") {
        let messages = "<QueueMessage><MessageText>QueueMessage</MessageText></QueueMessage>".repeat(seen.min(32));
        return format!("\u{feff}<?xml version=\"1.0\"?><QueueMessagesList>{messages}</QueueMessagesList>").into_response();
    }
    assert!(path.contains("comp=metadata"), "{path}");
    [("x-ms-approximate-messages-count", count.to_string())].into_response()
}

const ROWS: &[Row] = &[
    ("", "", &["queueName", "connection"]),
    ("queueName=q connection=AccountName=a;AccountKey=s3cret", "", &[]),
    ("queueName=q", "connection=AccountName=a;AccountKey=s3cret", &[]),
    ("queueName=q connectionFromEnv=CONNECTION", "", &[]),
    ("queueName=q connectionFromEnv=UNSET", "", &["connection"]),
    ("queueName=q", "connection=s3cret", &[]),
    ("queueName=q queueLength=x activationQueueLength=y", "connection=c", &["queueLength", "activationQueueLength"]),
    ("queueName=q queueLengthStrategy=some cloud=Heaven", "connection=c", &["queueLengthStrategy", "cloud"]),
    ("queueName=q cloud=azureUSgovernmentcloud queueLengthStrategy=visibleonly", "connection=c", &[]),
    ("queueName=q cloud=private", "connection=c", &["endpointSuffix"]),
    ("queueName=q cloud=private endpointSuffix=queue.here", "connection=c", &[]),
];

#[test]
fn each_row_is_accepted_or_names_its_problems() {
    let env: ResolvedEnv = [("CONNECTION".to_owned(), Secret::from("AccountName=a;AccountKey=s3cret"))].into();
    trial::judge("azure-queue", ROWS, &env);
}

async fn read_one(connection: &str, metadata: &str) -> Result<Sample, Error> {
    let trigger = trial::trigger("azure-queue", metadata, &format!("connection={connection}"), &ResolvedEnv::new()).expect(metadata);
    read_all(&[trigger], MOMENT).await?.remove(0)
}

#[tokio::test]
async fn counts_are_read_with_a_key_and_with_a_signature() {
    let double = Double::serve("shop", KEY).await;
    for (queue, count, seen) in [("none", 0, 0), ("some", 7, 5), ("held", 3, 0), ("many", 100, 32)] {
        double.set(queue, count, seen);
    }
    let signed = format!("QueueEndpoint=http://{}/shop/;SharedAccessSignature=?sv=2021-12-02&sp=rp&sig=a%2Bb%3D", double.address);
    for connection in [double.connection(), signed] {
        for (queue, all, visible, ready) in
            [("none", 0, 0, Some(0)), ("some", 7, 5, Some(5)), ("held", 3, 0, Some(0)), ("many", 100, 100, None)]
        {
            let sample = read_one(&connection, &format!("queueName={queue}")).await.expect(queue);
            assert_eq!((sample.metric, sample.ready), (MetricMilli(all * 1000), None), "{queue}");
            let sample = read_one(&connection, &format!("queueName={queue} queueLengthStrategy=visibleonly")).await.expect(queue);
            assert_eq!((sample.metric, sample.ready), (MetricMilli(visible * 1000), ready), "{queue}");
        }
    }
    let asked = double.asked.lock().expect("no test panics with it").clone();
    assert!(
        asked.contains(&"/shop/some?comp=metadata".to_owned()) && asked.last().is_some_and(|path| path.contains("sv=2021-12-02&sp=rp")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_token_of_the_daemons_identity_opens_an_account() {
    let (double, login) = (Double::serve("shop", KEY).await, Fake::default());
    double.set("q", 4, 4);
    login.answer("/tenant/oauth2/v2.0/token", 200, r#"{"access_token":"t0ken","expires_in":3600}"#);
    let file = std::env::temp_dir().join(format!("springtide-azure-{}", std::process::id()));
    std::fs::write(&file, "a.b.c\n").expect("written");
    let authority = format!("http://{}/", login.serve().await);
    let workload = |token_file| Workload {
        client: Some("id".to_owned()),
        tenant: Some("tenant".to_owned()),
        authority: Some(authority.clone()),
        token_file,
    };
    let storage = |workload| {
        let login = Some(Login::Token(Issuer::Azure(Federated::new(workload, RESOURCE))));
        Storage::new(Ok(Account { base: format!("http://{}/shop", double.address), login, parameters: Vec::new() }))
    };
    let query = Query { queue: "q".to_owned(), strategy: Strategy::All };
    let known = storage(workload(Some(file.clone())));
    let mut session = known.open().await.expect("open");
    for _ in 0..2 {
        let answers = known.read(&mut session, &[&query], MOMENT).await.expect("answers");
        assert!(answers[0].as_ref().is_ok_and(|answer| *answer == crate::broker::Answer::number(4.0)), "{answers:?}");
    }
    assert_eq!(login.asked().len(), 1, "a token is kept while it is good");
    std::fs::remove_file(&file).expect("removed");
    for (unknown, word) in
        [(workload(Some(file)), "cannot be read"), (workload(None), "AZURE_FEDERATED_TOKEN_FILE"), (Workload::default(), "AZURE_CLIENT_ID")]
    {
        let unknown = storage(unknown);
        let mut session = unknown.open().await.expect("open");
        let error = unknown.read(&mut session, &[&query], MOMENT).await.expect_err(word).chain();
        assert!(error.contains(word) && error.contains(';'), "{error}");
    }
}

#[tokio::test]
async fn what_goes_wrong_is_told_without_secrets() {
    let double = Double::serve("shop", KEY).await;
    let good = double.connection();
    let other = good.replace(KEY, "b3RoZXI=");
    let bad = good.replace(KEY, "s3cret!");
    for (connection, word) in [
        (good.as_str(), "queue \"q\" does not exist"),
        (&other, "refuses the login"),
        (&bad, "AccountKey is not base64"),
        ("SAMPLE", "write DefaultEndpointsProtocol"),
    ] {
        let error = read_one(connection, "queueName=q").await.expect_err(word).chain();
        assert!(error.contains(word), "{error}");
        for secret in [KEY, "b3RoZXI=", "s3cret"] {
            assert!(!error.contains(secret), "{error}");
        }
        assert!(!error.contains("SharedKey shop:") || error.contains("SharedKey shop:***"), "a signature is not repeated: {error}");
    }
    let fake = Fake::default();
    let connection = format!("AccountName=a;AccountKey=a2V5;QueueEndpoint=http://{}", fake.serve().await);
    for (status, body, word) in [
        (200, "", "x-ms-approximate-messages-count"),
        (500, "<Code>InternalError</Code>", "the connection failed"),
        (400, "<Code>InvalidResourceName</Code>", "InvalidResourceName"),
        (503, "ServerBusy", "ServerBusy"),
    ] {
        fake.answer("/q?", status, body);
        let error = read_one(&connection, "queueName=q").await.expect_err(word).chain();
        assert!(error.contains(word), "{error}");
    }
    for body in ["", "<html/>", "{}", "<QueueMessagesList>"] {
        fake.answer("/q/messages?", 200, body);
        assert!(matches!(read_one(&connection, "queueName=q queueLengthStrategy=visibleonly").await, Err(Error::Decode { .. })), "{body}");
    }
}
