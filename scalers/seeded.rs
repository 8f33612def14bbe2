//! Secrets of clouds are seeded everywhere that they can come from, and looked for in everything that people can read: problems, errors, readings, `Debug`
//! and logs of every level. The server repeats whatever it is shown.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use springtide_core::name::Key;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing_subscriber::fmt::MakeWriter;

use crate::store::{KeyVault, ManagerAccess, Named, SecretManager, Store, VaultAccess, VaultCloud};
use crate::{Around, AuthParams, Machine, Options, PodIdentity, Poller, ResolvedEnv, Secret, TriggerId, Workload, parse};

const STORAGE_KEY: &str = "c3RvcmFnZS1rZXktc2VlZA==";
const STORAGE_SIGNATURE: &str = "storage-signature-seed";
const NAMESPACE_KEY: &str = "namespace-key-seed";
const NAMESPACE_TOKEN: &str = "namespace-token-seed";
const CLIENT_SECRET: &str = "client-secret-seed";
const FEDERATED: &str = "federated-token-seed";
const GRANTED: &str = "granted-token-seed";

/// All that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no test panics with it").extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A server that answers with a status and all that it was shown. Who asks for a token gets one, but where the status is 400.
async fn repeat(State(status): State<Arc<AtomicU16>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = String::from_utf8_lossy(&to_bytes(body, 1 << 20).await.expect("a body")).into_owned();
    let status = StatusCode::from_u16(status.load(Ordering::Relaxed)).expect("a status");
    if status != StatusCode::BAD_REQUEST && head.uri.path().contains("token") {
        return axum::Json(json!({"access_token": GRANTED, "expires_in": 3600})).into_response();
    }
    // The headers' own Debug leaves out what is marked as a secret. Only the beginning of an answer is told, so that comes first.
    let mut headers: Vec<_> = head.headers.iter().collect();
    headers.sort_by_key(|(name, _)| *name != "authorization");
    let shown: String = headers.iter().map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()))).collect();
    (status, [("location", "http://127.0.0.2:1/")], format!("{shown}{}\n{body}", head.uri)).into_response()
}

/// Metadata, authentication and identity of a trigger.
type Seeded = (&'static str, Vec<(&'static str, String)>, Vec<(&'static str, String)>, Option<PodIdentity>);

fn triggers(host: &str, key: &str) -> Vec<Seeded> {
    let workload = || Some(PodIdentity::AzureWorkload(Workload::default()));
    let text = |text: &str| text.to_owned();
    let port = host.rsplit(':').next().unwrap_or_default();
    let queue = || vec![("queueName", text("q"))];
    let prometheus = || vec![("serverAddress", format!("http://{host}")), ("query", text("up")), ("threshold", text("1"))];
    let private = |name: &'static str| {
        vec![("queueName", text("q")), (name, text("127")), ("cloud", text("Private")), ("endpointSuffix", format!("0.0.1:{port}"))]
    };
    vec![
        ("azure-queue", queue(), vec![("connection", format!("AccountName=a;AccountKey={STORAGE_KEY};QueueEndpoint=http://{host}"))], None),
        (
            "azure-queue",
            queue(),
            vec![("connection", format!("QueueEndpoint=http://{host};SharedAccessSignature=sv=2021-12-02&sig={STORAGE_SIGNATURE}"))],
            None,
        ),
        // Whole connection strings that are wrong.
        ("azure-queue", queue(), vec![("connection", format!("AccountKey={STORAGE_KEY}"))], None),
        (
            "azure-queue",
            queue(),
            vec![("connection", format!("AccountName=a;AccountKey=%{STORAGE_KEY};QueueEndpoint=http://{host}"))],
            None,
        ),
        ("azure-queue", private("accountName"), vec![], workload()),
        (
            "azure-servicebus",
            queue(),
            vec![(
                "connection",
                format!("Endpoint=sb://{host};SharedAccessKeyName=r;SharedAccessKey={NAMESPACE_KEY};UseDevelopmentEmulator=true"),
            )],
            None,
        ),
        (
            "azure-servicebus",
            queue(),
            vec![(
                "connection",
                format!(
                    "Endpoint=sb://{host};SharedAccessSignature=SharedAccessSignature sr=x&sig={NAMESPACE_TOKEN};UseDevelopmentEmulator=true"
                ),
            )],
            None,
        ),
        ("azure-servicebus", queue(), vec![("connection", format!("Endpoint;{NAMESPACE_KEY}"))], None),
        ("azure-servicebus", private("namespace"), vec![], workload()),
        ("gcp-pubsub", vec![("subscriptionName", text("orders"))], vec![("GoogleApplicationCredentials", format!("{key}}}"))], None),
        ("prometheus", prometheus(), vec![], workload()),
        ("prometheus", prometheus(), vec![], Some(PodIdentity::Gcp(Machine::default()))),
        ("prometheus", prometheus(), vec![("GoogleApplicationCredentials", text(key))], None),
        ("prometheus", prometheus(), vec![("GoogleApplicationCredentials", format!("[{key}"))], None),
        (
            "rabbitmq",
            vec![("queueName", text("q")), ("host", format!("http://{host}/")), ("mode", text("QueueLength")), ("value", text("1"))],
            vec![("workloadIdentityResource", text("api://mq"))],
            workload(),
        ),
    ]
}

#[tokio::test]
async fn nothing_that_people_read_has_a_secret_of_a_cloud() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let der: Pkcs8V1Der<'_> = pair.as_der().expect("DER");
    let encoded = STANDARD.encode(der.as_ref());
    let status = Arc::new(AtomicU16::new(200));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    let router = Router::new().fallback(repeat).with_state(Arc::clone(&status));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let key = json!({"client_email": "a@shop", "project_id": "shop", "token_uri": format!("http://{host}/token"),
        "private_key": format!("-----BEGIN PRIVATE KEY-----\n{encoded}\n-----END PRIVATE KEY-----\n")})
    .to_string();
    let file = std::env::temp_dir().join(format!("springtide-seeded-{}", std::process::id()));
    std::fs::write(&file, FEDERATED).expect("written");
    let azure = Workload {
        client: Some("id".to_owned()),
        tenant: Some("tenant".to_owned()),
        authority: Some(format!("http://{host}")),
        token_file: Some(file.clone()),
    };
    let around = Around { azure: azure.clone(), google: Machine { metadata_host: Some(host.clone()), project: None } };

    let mut told = String::new();
    for code in [200, 302, 400, 401, 403, 404, 429, 500] {
        status.store(code, Ordering::Relaxed);
        for (kind, metadata, auth, identity) in triggers(&host, &key) {
            let metadata: BTreeMap<String, String> = metadata.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
            let texts = auth.into_iter().map(|(name, text)| (name.to_owned(), Secret::from(text))).collect();
            let auth = AuthParams { texts, identity, around: around.clone() };
            let outcome = parse(&Key::new("default", "object"), kind, &metadata, &auth, &ResolvedEnv::new());
            told += &format!("{auth:?} {outcome:?}\n");
            let Ok(trigger) = outcome else { continue };
            let (tx, mut polled) = mpsc::channel(1);
            let poller = Poller::with_options(tx, Options { timeout: Duration::from_secs(5), ..Options::default() });
            poller.set(TriggerId(1), trigger, Duration::from_secs(60));
            let polled = timeout(Duration::from_secs(20), polled.recv()).await.expect("a reading in time").expect("a reading");
            told += &format!("{kind} {code}: {polled:?}\n");
        }
        let cloud = VaultCloud { resource: format!("http://{host}"), authority: format!("http://{host}") };
        let application = VaultAccess::Application { client: "id".to_owned(), tenant: "t".to_owned(), secret: Secret::from(CLIENT_SECRET) };
        let vaults =
            [application, VaultAccess::Workload(azure.clone())].map(|access| KeyVault::new(&format!("http://{host}"), access, &cloud));
        let names = [Named { name: "password".to_owned(), version: None }];
        for vault in &vaults {
            told += &format!("{vault:?} {:?}\n", vault.read(&names).await.map(|answers| format!("{answers:?}")));
        }
        // Where it got a token, it would ask Google itself.
        if code == 400 {
            let manager = SecretManager::new(ManagerAccess::Key(Secret::from(key.as_str())));
            told += &format!("{manager:?} {:?}\n", manager.read(&names).await.map(|answers| format!("{answers:?}")));
        }
    }
    std::fs::remove_file(&file).expect("removed");
    told += &String::from_utf8_lossy(&log.0.lock().expect("no test panics with it"));

    // The server has been reached, and its words are there.
    assert!(told.contains("403 Forbidden: ") && told.contains("connection opened"), "{told}");
    for secret in [STORAGE_KEY, STORAGE_SIGNATURE, NAMESPACE_KEY, NAMESPACE_TOKEN, CLIENT_SECRET, FEDERATED, GRANTED, &encoded[100..140]] {
        let at = told.find(secret).map(|at| told[..at].rsplit('\n').next().unwrap_or_default());
        assert_eq!(at, None, "{secret} is told");
    }
    for (before, after) in [("SharedKey a:", "***"), ("sig=", "***")] {
        for (at, _) in told.match_indices(before) {
            assert!(told[at + before.len()..].starts_with(after), "{}", &told[at..told.len().min(at + 80)]);
        }
    }
}
