//! External scalers against one of our own, by the same contract over real gRPC.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt as _};
use springtide_core::name::Key;
use springtide_core::reading::{Activity, Reading, Sample};
use springtide_core::units::MetricMilli;
use tokio::sync::{mpsc, watch};
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::contract::{Active, GET_METRIC_SPEC, GET_METRICS, IS_ACTIVE, STREAM_IS_ACTIVE, Spec, Specs, Subject, Value, Values, Wanted};
use crate::fake::MOMENT;
use crate::trial::{Row, judge, read_all};
use crate::{AuthParams, Error, Pace, Poller, ResolvedEnv, Secret, Trigger, TriggerId, parse};

/// A scaler whose answers a test decides.
#[derive(Clone)]
struct Fake {
    says: Arc<Mutex<Says>>,
    pushed: watch::Sender<bool>,
}

#[derive(Default)]
struct Says {
    specs: Vec<Spec>,
    values: BTreeMap<String, Vec<Value>>,
    active: bool,
    refuses: Option<Status>,
    hangs: bool,
    asked: Vec<Subject>,
}

fn spec(name: &str, target: i64, float: f64) -> Spec {
    Spec { metric_name: name.to_owned(), target_size: target, target_size_float: float }
}

fn value(number: i64, float: f64) -> Value {
    Value { metric_name: "whatever".to_owned(), metric_value: number, metric_value_float: float }
}

impl Fake {
    fn new() -> Self {
        Self { says: Arc::default(), pushed: watch::Sender::new(false) }
    }

    fn says(&self) -> MutexGuard<'_, Says> {
        self.says.lock().expect("no test panics with it")
    }

    async fn serve(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = axum::Router::new().fallback_service(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }
}

impl NamedService for Fake {
    const NAME: &'static str = "externalscaler.ExternalScaler";
}

impl Service<http::Request<axum::body::Body>> for Fake {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<axum::body::Body>) -> Self::Future {
        let fake = self.clone();
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            Ok(match path.as_str() {
                GET_METRIC_SPEC => Grpc::new(ProstCodec::default()).unary(Method(fake, Fake::specs), request).await,
                GET_METRICS => Grpc::new(ProstCodec::default()).unary(Method(fake, Fake::values), request).await,
                IS_ACTIVE => Grpc::new(ProstCodec::default()).unary(Method(fake, Fake::is_active), request).await,
                STREAM_IS_ACTIVE => Grpc::new(ProstCodec::default()).server_streaming(Stream(fake), request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

/// A method of the fake.
struct Method<Q, R>(Fake, fn(&Fake, Q) -> Result<R, Status>);

impl<Q: Send + 'static, R: Send + 'static> UnaryService<Q> for Method<Q, R> {
    type Response = R;
    type Future = BoxFuture<'static, Result<Response<R>, Status>>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let (fake, method) = (self.0.clone(), self.1);
        Box::pin(async move {
            let hangs = fake.says().hangs;
            if hangs {
                std::future::pending::<()>().await;
            }
            let refuses = fake.says().refuses.clone();
            refuses.map_or(Ok(()), Err)?;
            method(&fake, request.into_inner()).map(Response::new)
        })
    }
}

struct Stream(Fake);

impl ServerStreamingService<Subject> for Stream {
    type Response = Active;
    type ResponseStream = BoxStream<'static, Result<Active, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, _: Request<Subject>) -> Self::Future {
        let pushed = self.0.pushed.subscribe();
        let told = futures::stream::unfold(pushed, |mut pushed| async move {
            pushed.changed().await.ok()?;
            let result = *pushed.borrow_and_update();
            Some((Ok(Active { result }), pushed))
        });
        Box::pin(async move { Ok(Response::new(told.boxed())) })
    }
}

impl Fake {
    fn specs(&self, subject: Subject) -> Result<Specs, Status> {
        self.says().asked.push(subject);
        Ok(Specs { metric_specs: self.says().specs.clone() })
    }

    fn values(&self, wanted: Wanted) -> Result<Values, Status> {
        let values = self.says().values.get(&wanted.metric_name).cloned();
        Ok(Values { metric_values: values.ok_or_else(|| Status::not_found(format!("no metric {}", wanted.metric_name)))? })
    }

    fn is_active(&self, _: Subject) -> Result<Active, Status> {
        Ok(Active { result: self.says().active })
    }
}

fn trigger(kind: &str, address: &str, more: &[(&str, &str)]) -> Trigger {
    let mut metadata = BTreeMap::from([("scalerAddress".to_owned(), address.to_owned())]);
    metadata.extend(more.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())));
    let env = ResolvedEnv::from([("PASSWORD".to_owned(), Secret::from("s3cret"))]);
    parse(&Key::new("shop", "orders"), kind, &metadata, &AuthParams::new(), &env).expect("fine")
}

async fn read(trigger: Trigger) -> Result<Sample, Error> {
    read_all(&[trigger], MOMENT).await?.remove(0)
}

#[test]
fn what_is_wrong_is_named() {
    let rows: &[Row] = &[
        ("scalerAddress=scaler.default:9090 anything=goes enableTLS=true", "", &[]),
        ("scalerAddress=dns:///scaler.default:9090", "", &[]),
        ("anything=goes", "", &["scalerAddress"]),
        ("scalerAddress=http://h:9090/ enableTLS=maybe", "", &["enableTLS", "scalerAddress"]),
        ("scalerAddress=h:99999", "", &["scalerAddress"]),
        ("scalerAddress=h:1 unsafeSsl=x", "caCert=s3cret", &["unsafeSsl"]),
    ];
    for kind in ["external", "external-push"] {
        judge(kind, rows, &ResolvedEnv::new());
    }
}

#[tokio::test]
async fn the_metric_that_asks_for_most_counts_with_its_own_target() {
    let fake = Fake::new();
    let address = fake.serve().await.to_string();
    fake.says().specs = vec![spec("few", 10, 0.0), spec("many", 1, 2.5)];
    fake.says().values =
        BTreeMap::from([("few".to_owned(), vec![value(30, 0.0)]), ("many".to_owned(), vec![value(5, 0.0), value(1, 7.5)])]);
    fake.says().active = true;
    let sample =
        read(trigger("external", &address, &[("queue", "orders"), ("passwordFromEnv", "PASSWORD"), ("goneFromEnv", "GONE")])).await;
    let sample = sample.expect("it answers");
    assert_eq!((sample.metric, sample.target, sample.activity), (MetricMilli(12_500), Some(MetricMilli(2500)), Activity::Known(true)));
    let asked = fake.says().asked.pop().expect("it was asked");
    assert_eq!((asked.name.as_str(), asked.namespace.as_str()), ("orders", "shop"));
    let mut metadata: Vec<(String, String)> = asked.scaler_metadata.into_iter().collect();
    metadata.sort();
    let expected = [("passwordFromEnv", "s3cret"), ("queue", "orders"), ("scalerAddress", &address)];
    assert_eq!(metadata, expected.map(|(key, text)| (key.to_owned(), text.to_owned())));
    // Nothing to do is an answer too.
    fake.says().active = false;
    fake.says().values = BTreeMap::from([("few".to_owned(), vec![value(0, 0.0)]), ("many".to_owned(), vec![value(0, 0.0)])]);
    let sample = read(trigger("external", &address, &[])).await.expect("it answers");
    assert_eq!((sample.metric, sample.activity), (MetricMilli::ZERO, Activity::Known(false)));
}

#[tokio::test]
async fn what_a_scaler_lacks_is_an_error_and_never_zero() {
    let fake = Fake::new();
    let address = fake.serve().await.to_string();
    let ask = || read(trigger("external", &address, &[("passwordFromEnv", "PASSWORD")]));
    assert!(ask().await.expect_err("no metric").chain().contains("there are none"));
    fake.says().specs = vec![spec("m", 0, 0.0)];
    assert!(ask().await.expect_err("no target").chain().contains("the target of m is 0"));
    fake.says().specs = vec![spec("m", 5, 0.0)];
    assert!(ask().await.expect_err("no such metric").chain().contains("no metric m (NotFound)"));
    fake.says().values = BTreeMap::from([("m".to_owned(), Vec::new())]);
    assert!(ask().await.expect_err("no value").chain().contains("it has no value"));
    fake.says().refuses = Some(Status::internal("cannot log in with s3cret"));
    let error = ask().await.expect_err("it refuses").chain();
    assert!(error.contains("cannot log in with ...") && !error.contains("s3cret"), "{error}");
    fake.says().refuses = Some(Status::unauthenticated("who are you"));
    assert!(matches!(ask().await, Err(Error::LogIn { .. })));
    fake.says().refuses = Some(Status::unavailable("later"));
    assert!(matches!(ask().await, Err(Error::Ask { .. })));
    fake.says().hangs = true;
    assert!(matches!(ask().await, Err(Error::Wait { .. })));
    let nobody = read(trigger("external", "127.0.0.1:1", &[])).await;
    assert!(matches!(nobody, Err(Error::Connect { .. })), "{nobody:?}");
}

#[tokio::test]
async fn what_is_pushed_wakes_the_read() {
    let fake = Fake::new();
    let address = fake.serve().await.to_string();
    fake.says().specs = vec![spec("m", 5, 0.0)];
    fake.says().values = BTreeMap::from([("m".to_owned(), vec![value(0, 0.0)])]);
    let (tx, mut rx) = mpsc::channel(16);
    let poller = Poller::new(tx);
    poller.set(TriggerId(1), trigger("external-push", &address, &[]), Pace::Every(Duration::from_secs(3600)));
    let first = rx.recv().await.expect("a reading").reading;
    assert!(matches!(first, Reading::Value(Sample { activity: Activity::Known(false), .. })), "{first:?}");
    fake.says().active = true;
    fake.says().values = BTreeMap::from([("m".to_owned(), vec![value(7, 0.0)])]);
    // Its stream may still be on its way.
    let pushed = async {
        loop {
            fake.pushed.send_replace(true);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let reading = tokio::select! {
        polled = rx.recv() => polled.expect("a reading").reading,
        () = pushed => unreachable!("it pushes for ever"),
        () = tokio::time::sleep(Duration::from_secs(10)) => panic!("nothing was read"),
    };
    let Reading::Value(sample) = reading else { panic!("{reading:?}") };
    assert_eq!((sample.metric, sample.activity), (MetricMilli(7000), Activity::Known(true)));
}
