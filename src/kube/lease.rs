//! Leadership by Lease: one process writes, the others watch.
//!
//! What must never happen: that this process believes itself the leader after another may have become it. So leadership is a deadline, counted from the moment
//! before the last renewal was sent, and shorter than the Lease's time.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::sync::watch;
use tokio::time::Instant;

/// How the Lease is held.
#[derive(Debug, Clone)]
pub struct LeaseOptions {
    /// Where it lies.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who we are; no two processes may have the same.
    pub identity: String,
    /// How long it holds without being renewed.
    pub duration: Duration,
}

/// Until when this process leads; none while it does not.
pub type Leadership = watch::Receiver<Option<Instant>>;

/// Competes for the Lease until `stop` says so, then gives it back.
#[must_use]
pub fn compete(client: Client, options: LeaseOptions, stop: watch::Receiver<bool>) -> (Leadership, tokio::task::JoinHandle<()>) {
    let (tx, rx) = watch::channel(None);
    let api = Api::namespaced(client, &options.namespace);
    let competitor = Competitor { api, options, tx, rival: None, complaint: None };
    (rx, tokio::spawn(competitor.run(stop)))
}

struct Competitor {
    api: Api<Lease>,
    options: LeaseOptions,
    tx: watch::Sender<Option<Instant>>,
    /// The other holder's last renewal, and when we first saw it: clocks of other machines are not trusted.
    rival: Option<(Option<MicroTime>, Instant)>,
    /// What was last said of a failure, so that it is said once.
    complaint: Option<String>,
}

impl Competitor {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let begun = Instant::now();
            let mut renewed = false;
            match tokio::time::timeout(self.patience(), self.attempt()).await {
                Ok(Ok(true)) => {
                    renewed = true;
                    self.tx.send_replace(Some(begun + self.options.duration.mul_f64(0.7)));
                }
                Ok(Ok(false)) => self.step_down("another process holds the Lease"),
                Ok(Err(error)) => self.lapse(&error.to_string()),
                Err(_) => self.lapse("the API server does not answer"),
            }
            // After a failure there is no time to lose before the deadline.
            let pause = if renewed { self.options.duration / 5 } else { Duration::from_millis(500) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = stop.wait_for(|stop| *stop) => {
                    drop(changed);
                    break;
                }
            }
        }
        let led = self.tx.borrow().is_some();
        self.tx.send_replace(None);
        if led && tokio::time::timeout(Duration::from_secs(2), self.give_back()).await.is_err() {
            tracing::warn!("the Lease could not be given back in time; the next leader waits until it expires");
        }
    }

    fn patience(&self) -> Duration {
        self.options.duration / 3
    }

    /// A renewal failed: leadership goes on until its deadline, and no longer.
    fn lapse(&mut self, why: &str) {
        let deadline = *self.tx.borrow();
        if deadline.is_none() && self.complaint.as_deref() != Some(why) {
            let Self { options: LeaseOptions { namespace, name, .. }, .. } = self;
            tracing::warn!(
                error = why,
                "Lease {namespace}/{name} cannot be competed for; does the namespace exist, and may the daemon write Leases in it?"
            );
            self.complaint = Some(why.to_owned());
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            self.step_down(why);
        } else if deadline.is_some() {
            tracing::warn!(error = why, "the Lease could not be renewed");
        }
    }

    fn step_down(&self, why: &str) {
        if self.tx.send_replace(None).is_some() {
            tracing::warn!(reason = why, "leadership lost: nothing is written until it is won again");
        }
    }

    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let Some(lease) = self.api.get_opt(&self.options.name).await? else {
            let created = self.api.create(&PostParams::default(), &self.ours(None)).await;
            return match created {
                Ok(_) => Ok(true),
                Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
                Err(error) => Err(error),
            };
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        if !holder.is_empty() && holder != self.options.identity && !self.has_expired(&spec) {
            return Ok(false);
        }
        match self.api.replace(&self.options.name, &PostParams::default(), &self.ours(Some(&lease))).await {
            Ok(_) => {
                self.rival = None;
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn has_expired(&mut self, spec: &LeaseSpec) -> bool {
        let lasts = Duration::from_secs(spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(15));
        match &self.rival {
            Some((renewed, seen)) if *renewed == spec.renew_time => seen.elapsed() >= lasts,
            _ => {
                self.rival = Some((spec.renew_time.clone(), Instant::now()));
                false
            }
        }
    }

    fn ours(&self, before: Option<&Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let old = before.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let renews = old.holder_identity.as_deref() == Some(&self.options.identity);
        Lease {
            metadata: before.map_or_else(
                || ObjectMeta {
                    name: Some(self.options.name.clone()),
                    namespace: Some(self.options.namespace.clone()),
                    ..ObjectMeta::default()
                },
                |lease| lease.metadata.clone(),
            ),
            spec: Some(LeaseSpec {
                holder_identity: Some(self.options.identity.clone()),
                lease_duration_seconds: i32::try_from(self.options.duration.as_secs().max(1)).ok(),
                acquire_time: if renews { old.acquire_time } else { Some(now.clone()) },
                renew_time: Some(now),
                lease_transitions: Some(old.lease_transitions.unwrap_or(0) + i32::from(!renews && before.is_some())),
                ..LeaseSpec::default()
            }),
        }
    }

    async fn give_back(&self) -> Result<(), kube::Error> {
        let mut lease = self.api.get(&self.options.name).await?;
        let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_deref() == Some(&self.options.identity)) else {
            return Ok(());
        };
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        self.api.replace(&self.options.name, &PostParams::default(), &lease).await.map(|_| ())
    }
}
