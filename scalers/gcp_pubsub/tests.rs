//! What a Pub/Sub trigger accepts, and what it reads from a Cloud Monitoring in the same process that checks tokens.

use std::sync::{Arc, Mutex};

use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::broker::{Answer, Client as _};
use crate::fake::{Fake, MOMENT};
use crate::trial::{self, Row};
use crate::{Error, ResolvedEnv, Trigger};

/// What a trigger asks about: project, name and metric.
pub(crate) fn asked(trigger: &Trigger) -> (Option<String>, String, String) {
    let Query { resource, metric, .. } = trigger.query.as_known().expect("a Pub/Sub trigger");
    (resource.project.clone(), resource.id.clone(), metric.clone())
}

/// Google, as far as it is needed: it gives tokens for JWTs of one key, and numbers for tokens.
#[derive(Clone)]
struct Double {
    address: String,
    public: Vec<u8>,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

/// A key of a service account, and its public half.
fn key() -> (String, Vec<u8>) {
    let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).expect("DER");
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()));
    (pem, pair.public_key().as_ref().to_vec())
}

impl Double {
    /// Begins to serve; and the key of the account that it knows.
    async fn serve() -> (Self, Value) {
        let (pem, public) = key();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let double = Self { address, public, asked: Arc::default() };
        let router = Router::new().fallback(respond).with_state(double.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let key = json!({"type": "service_account", "project_id": "shop", "private_key_id": "one", "private_key": pem,
            "client_email": "scaler@shop.iam.gserviceaccount.com", "token_uri": format!("{}/token", double.address)});
        (double, key)
    }

    fn asked(&self) -> Vec<(String, String)> {
        std::mem::take(&mut *self.asked.lock().expect("no test panics with it"))
    }

    /// The account's name and what it wants, if the JWT is signed by its key.
    fn claims(&self, jwt: &str) -> Option<Value> {
        let (text, signature) = jwt.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public).verify(text.as_bytes(), &signature).ok()?;
        let (head, claims) = text.split_once('.')?;
        let head: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).ok()?).ok()?;
        assert_eq!((&head["alg"], &head["kid"]), (&json!("RS256"), &json!("one")));
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }
}

fn series(id: &str, value: &Value) -> Value {
    json!({"metric": {"type": "m"}, "resource": {"type": "pubsub_subscription", "labels": {"project_id": "shop", "subscription_id": id}},
        "points": [{"interval": {"endTime": "2026-01-01T00:00:00Z"}, "value": value}, {"value": {"int64Value": "999"}}]})
}

async fn respond(State(double): State<Double>, request: Request) -> Response {
    let bearer = request.headers().get("authorization").is_some_and(|value| value == "Bearer ya29.t0ken");
    let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
    let body = String::from_utf8(to_bytes(request.into_body(), 1 << 20).await.expect("a body").to_vec()).expect("text");
    let parameters: Vec<(String, String)> =
        url::form_urlencoded::parse(if body.is_empty() { &query } else { &body }.as_bytes()).into_owned().collect();
    let parameter = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, text)| text.clone()).unwrap_or_default();
    double
        .asked
        .lock()
        .expect("no test panics with it")
        .push((path.clone(), if body.is_empty() { parameter("filter") } else { body.clone() }));
    if path == "/token" {
        let Some(claims) = double.claims(&parameter("assertion")) else { return StatusCode::BAD_REQUEST.into_response() };
        let life = claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(exp, iat)| exp - iat);
        assert_eq!((&claims["scope"], life), (&json!(MONITORING_READ), Some(3600)));
        assert_eq!(parameter("grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer");
        return axum::Json(json!({"access_token": "ya29.t0ken", "expires_in": 3599})).into_response();
    }
    if !bearer {
        return (StatusCode::UNAUTHORIZED, "no token").into_response();
    }
    if path == "/v3/projects/shop/timeSeries:query" {
        let query: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(query["pageSize"], 1);
        let value = if query["query"].as_str().is_some_and(|query| query.contains("percentile")) {
            json!({"doubleValue": 12.5})
        } else {
            json!({"int64Value": "8"})
        };
        return axum::Json(json!({"timeSeriesData": [{"pointData": [{"values": [value]}]}]})).into_response();
    }
    if path != "/v3/projects/shop/timeSeries" {
        return (StatusCode::FORBIDDEN, "Permission monitoring.timeSeries.list denied").into_response();
    }
    assert_eq!(
        (parameter("interval.startTime").as_str(), parameter("interval.endTime").as_str()),
        ("1969-12-31T23:58:00Z", "1970-01-01T00:00:00Z")
    );
    let all = [
        ("orders", json!({"int64Value": "7"})),
        ("ages", json!({"doubleValue": 0.5})),
        ("parts", json!({"int64Value": "2"})),
        ("parts", json!({"int64Value": "3"})),
        ("spread", json!({"distributionValue": {"count": "5"}})),
    ];
    let wanted = parameter("filter");
    let found: Vec<Value> =
        all.iter().filter(|(id, _)| wanted.contains(&format!("\"{id}\""))).map(|(id, value)| series(id, value)).collect();
    axum::Json(json!({"timeSeries": found})).into_response()
}

const ROWS: &[Row] = &[
    ("", "", &["subscriptionName", "GoogleApplicationCredentials"]),
    ("subscriptionName=s", "GoogleApplicationCredentials=s3cret", &[]),
    ("subscriptionName=s topicName=t value=x", "GoogleApplicationCredentials=c", &["topicName", "value"]),
    (
        "subscriptionName=s mode=a'b aggregation=most timeHorizon=-1 valueIfNull=x",
        "GoogleApplicationCredentials=c",
        &["mode", "aggregation", "timeHorizon", "valueIfNull"],
    ),
    ("topicName=t aggregation=percentile101", "GoogleApplicationCredentials=c", &["aggregation"]),
    ("topicName=t aggregation=percentile99 timeHorizon=5m valueIfNull=1.5", "GoogleApplicationCredentials=c", &[]),
    ("subscriptionName=s subscriptionSize=5", "GoogleApplicationCredentials=c", &["subscriptionSize"]),
    ("subscriptionName=s credentialsFromEnvFile=FILE", "", &["credentialsFromEnvFile", "GoogleApplicationCredentials"]),
];

#[test]
fn each_row_is_accepted_or_names_its_problems() {
    trial::judge("gcp-pubsub", ROWS, &ResolvedEnv::new());
}

fn query(metadata: &str) -> Query {
    let trigger = trial::trigger("gcp-pubsub", metadata, "GoogleApplicationCredentials=x", &ResolvedEnv::new()).expect(metadata);
    trigger.query.as_known::<Query>().expect("its own").clone()
}

async fn read(broker: &Monitoring, queries: &[&Query]) -> Result<Vec<Result<Answer, Error>>, Error> {
    let mut connection = broker.open().await?;
    broker.read(&mut connection, queries, MOMENT).await
}

fn account(key: &Value) -> Result<Account, String> {
    AccountKey::parse(&key.to_string()).map(Account::Key)
}

#[tokio::test]
async fn numbers_are_read_with_a_key_and_shared() {
    let (double, key) = Double::serve().await;
    let broker = Monitoring::new(account(&key), &double.address);
    let cases = [
        ("subscriptionName=orders", Some(7.0)),
        ("subscriptionName=projects/shop/subscriptions/ages", Some(0.5)),
        ("subscriptionName=parts", Some(5.0)),
        ("subscriptionName=missing valueIfNull=0.25", Some(0.25)),
        ("subscriptionName=missing", None),
        ("subscriptionName=spread", None),
        ("subscriptionName=orders aggregation=sum", Some(8.0)),
        ("subscriptionName=spread aggregation=percentile95 timeHorizon=10m", Some(12.5)),
    ];
    let queries: Vec<Query> = cases.iter().map(|(metadata, _)| query(metadata)).collect();
    let answers = read(&broker, &queries.iter().collect::<Vec<_>>()).await.expect("answers");
    for ((metadata, expected), answer) in cases.iter().zip(&answers) {
        assert_eq!(answer.as_ref().ok(), expected.map(Answer::number).as_ref(), "{metadata}: {answer:?}");
    }
    let told: Vec<String> = answers.iter().filter_map(|answer| answer.as_ref().err().map(Error::chain)).collect();
    assert!(told[0].contains("could not find stackdriver metric") && told[1].contains("aggregation"), "{told:?}");
    let asked = double.asked();
    // A token, one request for the six without aggregation, one more to say what is wrong with the spread one, and one for each aggregation.
    assert_eq!(asked.len(), 5, "{asked:#?}");
    assert!(asked[1].1.contains("resource.labels.subscription_id = one_of(\"orders\",\"ages\",\"parts\""), "{asked:#?}");
    assert!(asked[1].1.starts_with(
        "metric.type = \"pubsub.googleapis.com/subscription/num_undelivered_messages\" AND resource.type = \"pubsub_subscription\""
    ));
    let last = "within 600s | align delta(180s) | every 180s | group_by [], percentile(value, 95)";
    assert!(asked.iter().any(|(_, body)| body.contains(last) && body.contains("resource.project_id == 'shop'")), "{asked:#?}");
}

#[test]
fn filters_stay_short() {
    let queries: Vec<Query> = (0..100).map(|number| query(&format!("subscriptionName={}{number:03}", "s".repeat(90)))).collect();
    let parts = client::parts(&queries.iter().collect::<Vec<_>>());
    assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), 100);
    for part in parts {
        let ids: Vec<&str> = part.iter().map(|query| query.resource.id.as_str()).collect();
        let filter = client::filter(Sort::Subscription, &part[0].metric(), &ids);
        assert!((1000..=2000).contains(&filter.len()), "{}", filter.len());
    }
}

#[tokio::test]
async fn the_machines_account_is_asked_for_its_token_and_project() {
    let (double, _) = Double::serve().await;
    let metadata = Fake::default();
    metadata.answer(
        "/computeMetadata/v1/instance/service-accounts/default/token?",
        200,
        r#"{"access_token":"ya29.t0ken","expires_in":600}"#,
    );
    metadata.answer("/computeMetadata/v1/project/project-id", 200, "shop\n");
    let machine = Machine { metadata_host: Some(metadata.serve().await), project: None };
    let broker = Monitoring::new(Ok(Account::Machine(machine.clone())), &double.address);
    let answers = read(&broker, &[&query("subscriptionName=orders")]).await.expect("answers");
    assert_eq!(answers[0].as_ref().ok(), Some(&Answer::number(7.0)), "{answers:?}");
    assert!(metadata.headers("metadata-flavor").iter().all(|flavor| flavor == "Google"));
    // Without a project, only names with one can be asked about.
    metadata.answer("/computeMetadata/v1/project/project-id", 404, "");
    let names = [query("subscriptionName=orders"), query("subscriptionName=projects/shop/subscriptions/orders")];
    let answers = read(&broker, &[&names[0], &names[1]]).await.expect("answers");
    assert!(answers[0].as_ref().is_err_and(|error| error.chain().contains("no project is known")) && answers[1].is_ok(), "{answers:?}");
}

#[tokio::test]
async fn what_goes_wrong_is_told_without_secrets() {
    let (double, good) = Double::serve().await;
    let (other, _) = key();
    let with = |name: &str, value: Value| {
        let mut key = good.clone();
        key[name] = value;
        account(&key)
    };
    let ids = "subscriptionName=orders";
    for (account, metadata, word) in [
        (with("private_key", json!(other)), ids, "400 Bad Request"),
        (with("private_key", json!("s3cret")), ids, "no RSA key"),
        (with("type", json!("authorized_user")), ids, "not of a service account"),
        (with("client_email", Value::Null), ids, "client_email"),
        (AccountKey::parse("{s3cret").map(Account::Key), ids, "no JSON"),
        (account(&good), "subscriptionName=projects/other/subscriptions/orders", "refuses the login"),
        (account(&good), "subscriptionName=projects/shop/orders", "invalid Pub/Sub resource name"),
        (with("project_id", json!("a/../b")), ids, "no project is known"),
    ] {
        let broker = Monitoring::new(account, &double.address);
        let outcome = read(&broker, &[&query(metadata)]).await.and_then(|mut answers| answers.remove(0));
        let error = outcome.expect_err(word).chain();
        assert!(error.contains(word) && !error.contains("s3cret") && !error.contains("BEGIN") && !error.contains("ya29"), "{error}");
        assert!(!format!("{broker:?}").contains("BEGIN"));
    }
}
