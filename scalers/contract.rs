//! What holds for every kind.

use std::collections::{BTreeMap, HashSet};
use std::net::TcpListener;
use std::time::Duration;

use springtide_core::name::Key;
use springtide_core::reading::Reading;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::{AuthParams, KINDS, Kind, Options, PodIdentity, Poller, ResolvedEnv, Secret, Source, Trigger, TriggerId, kind, parse};

fn example(kind: &Kind) -> BTreeMap<String, String> {
    kind.example.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
}

/// What the example's authentication gives, where its metadata are not enough: some secrets stand in no metadata.
fn example_auth(kind: &Kind) -> BTreeMap<String, String> {
    if parse(&Key::new("default", "object"), kind.name, &example(kind), &AuthParams::new(), &ResolvedEnv::new()).is_ok() {
        return BTreeMap::new();
    }
    kind.example_auth.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
}

fn trigger(kind: &Kind, metadata: &BTreeMap<String, String>) -> Trigger {
    trigger_with(kind, metadata, &example_auth(kind))
}

fn trigger_with(kind: &Kind, metadata: &BTreeMap<String, String>, auth: &BTreeMap<String, String>) -> Trigger {
    let auth: AuthParams = auth.iter().map(|(key, text)| (key.clone(), Secret::from(text.as_str()))).collect();
    parse(&Key::new("default", "object"), kind.name, metadata, &auth, &ResolvedEnv::new())
        .unwrap_or_else(|problems| panic!("{}: {problems:?}", kind.name))
}

#[test]
fn kinds_are_sorted_and_unique_and_found_by_name() {
    assert!(KINDS.is_sorted_by(|one, next| one.name < next.name));
    assert!(KINDS.iter().all(|row| kind(row.name).is_some_and(|found| std::ptr::eq(found, *row))));
    let problems = parse(&Key::new("default", "object"), "nonsense", &BTreeMap::new(), &AuthParams::new(), &ResolvedEnv::new())
        .expect_err("no such kind");
    assert!(problems[0].to_string().contains("no scaler found for type: \"nonsense\"; use one of those"), "{}", problems[0]);
}

#[test]
fn parameters_are_described_once_and_defaults_are_values() {
    for kind in KINDS {
        let mut names = HashSet::new();
        for parameter in kind.all_parameters() {
            assert!(names.insert(parameter.name), "{}: {} is declared twice", kind.name, parameter.name);
            assert!(parameter.doc.ends_with('.') && !parameter.sources.is_empty(), "{}: {}", kind.name, parameter.name);
            assert!(!(parameter.required && parameter.default.is_some()), "{}: {}", kind.name, parameter.name);
        }
        assert!(!kind.summary.is_empty());
        // Defaults are parsed like anything else, so an example that leaves them out proves them.
        assert_eq!(trigger(kind, &example(kind)).kind, kind.name);
        assert!(kind.unknown(&example(kind)).is_empty());
    }
}

#[test]
fn a_missing_key_is_named() {
    for kind in KINDS {
        for parameter in kind.all_parameters().filter(|parameter| parameter.required) {
            let mut metadata = example(kind);
            metadata.remove(parameter.name);
            let problems = parse(&Key::new("default", "object"), kind.name, &metadata, &AuthParams::new(), &ResolvedEnv::new())
                .expect_err(parameter.name);
            assert!(problems.iter().any(|problem| problem.field == parameter.name && !problem.remedy.is_empty()), "{problems:?}");
        }
    }
}

#[test]
fn secrets_show_nowhere() {
    for kind in KINDS {
        for parameter in kind.all_parameters().filter(|parameter| parameter.sources.contains(&Source::Auth)) {
            let auth = AuthParams::from([(parameter.name.to_owned(), Secret::from("s3cret"))]);
            let mut metadata = example(kind);
            metadata.remove(parameter.name);
            let outcome = parse(&Key::new("default", "object"), kind.name, &metadata, &auth, &ResolvedEnv::new());
            // What is wrong is never repeated; what is well may be told where it is no secret, as addresses are.
            let may_show = outcome.is_ok() && !parameter.secret;
            assert!(may_show || !format!("{outcome:?}").contains("s3cret"), "{}: {outcome:?}", kind.name);
        }
    }
}

#[test]
fn an_identity_that_a_kind_does_not_read_is_a_problem() {
    for kind in KINDS.iter().filter(|kind| !kind.name.starts_with("aws-")) {
        let auth = AuthParams { identity: Some(PodIdentity::Aws { role: None, external_id: None }), ..AuthParams::new() };
        let problems = parse(&Key::new("default", "object"), kind.name, &example(kind), &auth, &ResolvedEnv::new()).expect_err(kind.name);
        let [problem] = problems.as_slice() else { panic!("{}: {problems:?}", kind.name) };
        let told = format!("{}: {problem}", problem.place());
        assert!(told.starts_with("authenticationRef.podIdentity: podIdentity: provider aws is not read by "), "{told}");
    }
}

/// The kinds that ask a broker: those whose example has an address. Clouds are not asked without keys, so their own tests say what they do.
fn kinds_with_a_broker() -> impl Iterator<Item = &'static Kind> {
    let has_address = |(key, text): (&String, &String)| moved_text(key, text, ":").is_some();
    let brokers = KINDS.iter().copied().filter(|kind| !kind.name.starts_with("aws-"));
    brokers.filter(move |kind| example(kind).iter().any(has_address) || example_auth(kind).iter().any(has_address))
}

/// A text with its address replaced by ours, if it is a URL, hosts with ports, or one of a host and a port.
fn moved_text(key: &str, text: &str, address: &str) -> Option<String> {
    if let Some((scheme, _)) = text.split_once("://") {
        return Some(format!("{scheme}://user:s3cret@{address}/"));
    }
    let (host, port) = address.rsplit_once(':')?;
    match key {
        "host" => return Some(host.to_owned()),
        "port" => return Some(port.to_owned()),
        _ => {}
    }
    let has_port = |place: &str| place.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    text.split(',').all(has_port).then(|| address.to_owned())
}

/// The example, with its broker moved to an address of ours.
fn moved(kind: &Kind, address: &str) -> Trigger {
    let (mut metadata, mut auth) = (example(kind), example_auth(kind));
    for (key, text) in metadata.iter_mut().chain(&mut auth) {
        if let Some(moved) = moved_text(key, text, address) {
            *text = moved;
        }
    }
    trigger_with(kind, &metadata, &auth)
}

async fn first_reading(trigger: Trigger, patience: Duration) -> Reading {
    let (tx, mut rx) = mpsc::channel(1);
    let poller = Poller::with_options(tx, Options { timeout: patience, ..Options::default() });
    poller.set(TriggerId(1), trigger, Duration::from_secs(60));
    timeout(Duration::from_secs(20), rx.recv()).await.expect("an answer well before this").expect("a reading").reading
}

#[tokio::test]
async fn a_refused_connection_is_a_failure() {
    for kind in kinds_with_a_broker() {
        let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string();
        let reading = first_reading(moved(kind, &address), Duration::from_secs(10)).await;
        let Reading::Failed { error, failures: 1 } = &reading else { panic!("{}: {reading:?}", kind.name) };
        assert!(error.contains(&address) && !error.contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn a_silent_broker_is_given_up_after_the_timeout() {
    for kind in kinds_with_a_broker() {
        // It takes connections, and that is all.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let reading = first_reading(moved(kind, &address), Duration::from_millis(100)).await;
        let Reading::Failed { error, failures: 1 } = &reading else { panic!("{}: {reading:?}", kind.name) };
        assert!(error.contains("did not answer within 100 ms") && error.contains(&address) && !error.contains("s3cret"), "{error}");
    }
}
