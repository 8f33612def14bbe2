//! Through the proxy, watches lag behind while everything else is at once.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use springtide_testbed::{HttpProxy, Options, Plane};
use tokio::time::Instant;

const DAEMON: &str = "
{apiVersion: v1, kind: ServiceAccount, metadata: {name: daemon}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: daemon}
rules: [{apiGroups: [''], resources: [configmaps], verbs: [get, list, watch, create]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: daemon}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: daemon}
subjects: [{kind: ServiceAccount, name: daemon, namespace: default}]
";

#[tokio::test]
async fn watches_lag_behind_and_writes_do_not() {
    let plane = Plane::start(Options::default()).await.unwrap();
    plane.apply(DAEMON).await.unwrap();
    plane.until_allowed("default", "daemon", "watch", "configmaps").await.unwrap();
    let proxy = HttpProxy::start(&plane).await.unwrap();
    let path = plane.kubeconfig_for_service_account_at("default", "daemon", &proxy.url()).await.unwrap();
    let kubeconfig = Kubeconfig::read_from(path).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(kube::Client::try_from(config).unwrap());

    let delay = Duration::from_secs(2);
    proxy.delay_watches(delay);
    let version = maps.list(&Default::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut events = maps.watch(&WatchParams::default(), &version).await.unwrap().boxed();
    let started = Instant::now();
    let map = ConfigMap { metadata: kube::core::ObjectMeta { name: Some("new".into()), ..Default::default() }, ..Default::default() };
    maps.create(&Default::default(), &map).await.unwrap();
    assert!(maps.get("new").await.is_ok() && started.elapsed() < delay, "a read after the write is at once");
    loop {
        if let Some(WatchEvent::Added(map)) = events.try_next().await.unwrap()
            && map.metadata.name.as_deref() == Some("new")
        {
            break;
        }
    }
    assert!(started.elapsed() >= delay);

    proxy.line().close();
    assert!(maps.get("new").await.is_err());
    proxy.line().open();
    assert!(maps.get("new").await.is_ok());
}
