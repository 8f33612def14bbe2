//! The addresses behind Services that somebody asks for: a watch for each such Service, which ends some time after the last question.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use springtide_core::name::Key;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::act::message;

/// The label by which slices name their Service.
const SERVICE: &str = "kubernetes.io/service-name";
/// A Service that nobody asked about for so long is watched no more; longer than any usual polling interval.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// The addresses of a Service, each with its ports.
pub type Addresses = BTreeMap<String, BTreeSet<u16>>;

/// What is known of a Service: nothing yet, its addresses, or why they cannot be listed.
type Known = Option<Result<Arc<Addresses>, String>>;

/// Watches, begun by the first question for a Service.
#[derive(Clone)]
pub struct Endpoints {
    client: Client,
    watched: Arc<Mutex<BTreeMap<Key, Watched>>>,
}

/// A Service that is watched.
struct Watched {
    known: watch::Receiver<Known>,
    asked: watch::Sender<Instant>,
}

impl Endpoints {
    /// None is watched yet.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, watched: Arc::default() }
    }

    /// The addresses behind a Service that are ready. Waits until they have been listed.
    ///
    /// # Errors
    /// They cannot be listed: why, and what to do.
    pub async fn of(&self, service: &Key) -> Result<Arc<Addresses>, String> {
        let mut known = self.follow(service);
        let first = known.wait_for(Option::is_some).await.map(|known| known.clone());
        match first {
            Ok(Some(answer)) => answer,
            Ok(None) | Err(_) => Err("the addresses are no longer watched; they are asked for again".to_owned()),
        }
    }

    fn follow(&self, service: &Key) -> watch::Receiver<Known> {
        // Nothing that holds the lock leaves the table half changed.
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = watched.get(service) {
            known.asked.send_replace(Instant::now());
            return known.known.clone();
        }
        let (tell, known) = watch::channel(None);
        let (asked, last) = watch::channel(Instant::now());
        watched.insert(service.clone(), Watched { known: known.clone(), asked });
        drop(watched);
        let (this, service) = (self.clone(), service.clone());
        tokio::spawn(async move { this.watch(&service, &tell, &last).await });
        known
    }

    async fn watch(&self, service: &Key, tell: &watch::Sender<Known>, last: &watch::Receiver<Instant>) {
        let api = Api::<EndpointSlice>::namespaced(self.client.clone(), &service.namespace);
        let config = watcher::Config::default().labels(&format!("{SERVICE}={}", service.name));
        let mut events = watcher(api, config).default_backoff().boxed();
        let (mut slices, mut listing) = (BTreeMap::new(), BTreeMap::new());
        loop {
            let until = *last.borrow() + FORGOTTEN;
            let event = tokio::select! {
                event = events.next() => event,
                () = sleep_until(until) => {
                    let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
                    // Whoever asked in the meantime keeps it.
                    if last.borrow().elapsed() < FORGOTTEN {
                        continue;
                    }
                    watched.remove(service);
                    return;
                }
            };
            match event {
                Some(Ok(watcher::Event::Init)) => listing.clear(),
                Some(Ok(watcher::Event::InitApply(slice))) => drop(listing.insert(slice.name_any(), slice)),
                Some(Ok(watcher::Event::InitDone)) => {
                    slices = std::mem::take(&mut listing);
                    tell.send_replace(Some(Ok(Arc::new(addresses(slices.values())))));
                }
                Some(Ok(watcher::Event::Apply(slice))) => {
                    slices.insert(slice.name_any(), slice);
                    tell.send_replace(Some(Ok(Arc::new(addresses(slices.values())))));
                }
                Some(Ok(watcher::Event::Delete(slice))) => {
                    slices.remove(&slice.name_any());
                    tell.send_replace(Some(Ok(Arc::new(addresses(slices.values())))));
                }
                Some(Err(error)) => {
                    tracing::debug!(%service, %error, "the watch of a Service's addresses broke off and is begun again");
                    // What was known stays: the watch is begun anew, and its list replaces it. A list that is refused tells of nothing.
                    if let watcher::Error::InitialListFailed(error) = &error {
                        let why = format!("the EndpointSlices of Service {service} cannot be listed: {}", message(error));
                        tell.send_if_modified(|known| {
                            let unknown = !matches!(known, Some(Ok(_)));
                            if unknown {
                                *known = Some(Err(why));
                            }
                            unknown
                        });
                    }
                }
                // A watch never ends by itself; if it does, the next question begins another.
                None => {
                    self.watched.lock().unwrap_or_else(PoisonError::into_inner).remove(service);
                    return;
                }
            }
        }
    }
}

/// The addresses in slices that are ready, each once; one that does not say is.
fn addresses<'s>(slices: impl Iterator<Item = &'s EndpointSlice>) -> Addresses {
    let mut found = Addresses::new();
    for slice in slices {
        let ports = slice.ports.iter().flatten().filter_map(|port| u16::try_from(port.port?).ok());
        let ports: BTreeSet<u16> = ports.collect();
        let ready = |ready: Option<bool>| ready.unwrap_or(true);
        for endpoint in
            slice.endpoints.iter().filter(|endpoint| ready(endpoint.conditions.as_ref().and_then(|conditions| conditions.ready)))
        {
            for address in &endpoint.addresses {
                found.entry(address.clone()).or_default().extend(&ports);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_are_those_that_are_ready_each_once() {
        let slice = |ports: &[i32], endpoints: serde_json::Value| -> EndpointSlice {
            let ports: Vec<_> = ports.iter().map(|port| json!({ "port": port })).collect();
            serde_json::from_value(json!({"metadata": {"name": "x"}, "addressType": "IPv4", "ports": ports, "endpoints": endpoints}))
                .expect("a slice")
        };
        let slices = [
            slice(
                &[8080],
                json!([
                    {"addresses": ["10.0.0.1"], "conditions": {"ready": true}},
                    {"addresses": ["10.0.0.2"], "conditions": {"ready": false}},
                    {"addresses": ["10.0.0.3"]}
                ]),
            ),
            slice(&[9090], json!([{"addresses": ["10.0.0.1"], "conditions": {}}])),
            slice(&[], json!([])),
        ];
        let expected = [("10.0.0.1", vec![8080, 9090]), ("10.0.0.3", vec![8080])];
        let expected: Addresses = expected.into_iter().map(|(address, ports)| (address.to_owned(), ports.into_iter().collect())).collect();
        assert_eq!(addresses(slices.iter()), expected);
    }
}
