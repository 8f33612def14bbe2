//! Who may do what, asked of the authorizer itself.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// The authorizer offers nothing to watch.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// It follows roles and bindings by watching; more than this means that they do not say so.
const WITHIN: Duration = Duration::from_secs(30);

/// Waits until a ServiceAccount may do this in its own namespace.
pub(crate) async fn until_allowed(client: &Client, namespace: &str, name: &str, verb: &str, resource: &str) -> Result<()> {
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let (group, resource) = resource.split_once('/').unwrap_or(("", resource));
    let attributes = ResourceAttributes {
        group: Some(group.to_owned()),
        namespace: Some(namespace.to_owned()),
        resource: Some(resource.to_owned()),
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let user = format!("system:serviceaccount:{namespace}:{name}");
    let spec = SubjectAccessReviewSpec { user: Some(user.clone()), resource_attributes: Some(attributes), ..Default::default() };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let deadline = Instant::now() + WITHIN;
    let mut asking = interval(ASK_EVERY);
    asking.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        asking.tick().await;
        let answer = reviews.create(&PostParams::default(), &review).await.context("cannot ask who may do what")?;
        if answer.status.is_some_and(|status| status.allowed) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{user} may not {verb} {resource} after {WITHIN:?}; apply a role and a binding that say so");
        }
    }
}
