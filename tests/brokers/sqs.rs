//! SQS' scaler on moto: what it counts, what it says of mistakes, whether it is let in by a signature alone, and how it lives through an outage.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use springtide_core::reading::{Reading, Sample};
use springtide_core::units::MetricMilli;
use springtide_scalers::{AwsSecretName, AwsSecrets, Secret, Trigger};
use springtide_testbed::{Moto, TcpProxy};

use super::reader::{self, Reader, sample};

const REGION: &str = "eu-west-1";
const KEYS: [(&str, &str); 2] = [("awsAccessKeyID", "AKIDANYBODY"), ("awsSecretAccessKey", "any-secret-at-all")];

/// A queue's trigger at an endpoint.
fn trigger(endpoint: &str, queue: &str, more: &[(&str, &str)], keys: &[(&str, &str)]) -> Result<Trigger> {
    let mut metadata = vec![("queueURL", queue), ("awsEndpoint", endpoint), ("awsRegion", REGION), ("queueLength", "1")];
    metadata.retain(|(key, _)| more.iter().all(|(other, _)| other != key));
    metadata.extend(more);
    reader::trigger("aws-sqs-queue", &metadata, keys)
}

/// Makes a queue.
async fn create(moto: &Moto, queue: &str) -> Result<()> {
    moto.ask(REGION, "sqs", "AmazonSQS.CreateQueue", &json!({"QueueName": queue})).await.map(drop)
}

/// Puts messages in, to be delivered after so many seconds.
async fn send(moto: &Moto, queue: &str, count: usize, delay_s: u32) -> Result<()> {
    for number in 0..count {
        let message = json!({"QueueUrl": moto.queue_url(queue), "MessageBody": number.to_string(), "DelaySeconds": delay_s});
        moto.ask(REGION, "sqs", "AmazonSQS.SendMessage", &message).await?;
    }
    Ok(())
}

/// Takes messages out and holds them.
async fn hold(moto: &Moto, queue: &str, count: usize) -> Result<()> {
    let held = moto
        .ask(
            REGION,
            "sqs",
            "AmazonSQS.ReceiveMessage",
            &json!({"QueueUrl": moto.queue_url(queue), "MaxNumberOfMessages": count, "VisibilityTimeout": 600}),
        )
        .await?;
    let number = held["Messages"].as_array().map_or(0, Vec::len);
    ensure!(number == count, "{number} messages are held, not {count}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqs_is_read_as_it_is() -> Result<()> {
    let moto = Moto::start().await?;
    counts_are_those_of_the_queue(&moto).await?;
    many_queues_are_read_over_one_connection(&moto).await?;
    an_outage_is_stale_and_then_over(&moto).await?;
    mistakes_are_told(&moto).await?;
    secrets_are_read_and_mistakes_name_none(&moto).await?;
    // The last, for nobody is let in afterwards.
    only_the_right_keys_are_let_in(&moto).await
}

async fn counts_are_those_of_the_queue(moto: &Moto) -> Result<()> {
    let (mut reader, endpoint) = (Reader::new(), moto.url());
    for queue in ["empty", "orders"] {
        create(moto, queue).await?;
    }
    let empty = reader.metric(trigger(&endpoint, &moto.queue_url("empty"), &[], &KEYS)?, 0).await?;
    ensure!((empty.ready, empty.in_flight) == (Some(0), Some(0)), "an empty queue reads {empty:?}");
    send(moto, "orders", 7, 0).await?;
    hold(moto, "orders", 3).await?;
    send(moto, "orders", 2, 600).await?;
    let url = moto.queue_url("orders");
    for (more, number) in [
        (&[][..], 7),
        (&[("scaleOnInFlight", "false")], 4),
        (&[("scaleOnDelayed", "true")], 9),
        (&[("scaleOnInFlight", "false"), ("scaleOnDelayed", "true")], 6),
    ] {
        let sample = reader.metric(trigger(&endpoint, &url, more, &KEYS)?, number).await.with_context(|| format!("{more:?}"))?;
        let told = (sample.ready, sample.in_flight, sample.arrived, sample.done);
        ensure!(told == (Some(4), Some(3), None, None), "{more:?} tells {told:?}");
    }
    // By its name alone.
    reader.metric(trigger(&endpoint, "orders", &[], &KEYS)?, 7).await.map(drop)
}

async fn many_queues_are_read_over_one_connection(moto: &Moto) -> Result<()> {
    let (mut reader, line) = (Reader::new(), TcpProxy::start(moto.address()).await?);
    let endpoint = format!("http://{}", line.address());
    let mut set = Vec::new();
    for number in 0..20 {
        let queue = format!("many-{number}");
        create(moto, &queue).await?;
        send(moto, &queue, number % 3, 0).await?;
        let trigger = trigger(&endpoint, &moto.queue_url(&queue), &[], &KEYS)?;
        set.push((reader.set(trigger), i64::try_from(number % 3)?));
    }
    for (id, number) in set {
        let is = |sample: &Sample| sample.metric == MetricMilli(number * 1000);
        reader.until(id, &format!("{number} messages"), |reading| sample(reading).filter(is)).await?;
        reader.poller.remove(id);
    }
    Ok(())
}

async fn mistakes_are_told(moto: &Moto) -> Result<()> {
    let (mut reader, endpoint) = (Reader::new(), moto.url());
    let error = reader.failure(trigger(&endpoint, &moto.queue_url("nowhere"), &[], &KEYS)?).await?;
    ensure!(error.contains("queue nowhere does not exist"), "a missing queue reads: {error}");
    let elsewhere = trigger(&endpoint, &moto.queue_url("orders"), &[("awsRegion", "us-east-2")], &KEYS)?;
    let error = reader.failure(elsewhere).await?;
    ensure!(error.contains("us-east-2") && error.contains("queue orders does not exist"), "another region reads: {error}");
    // A queue that is missing is its own trouble, and is found once it is there.
    let missing = reader.set(trigger(&endpoint, &moto.queue_url("later"), &[], &KEYS)?);
    reader.metric(trigger(&endpoint, &moto.queue_url("orders"), &[], &KEYS)?, 7).await.context("beside a missing queue")?;
    create(moto, "later").await?;
    reader.until(missing, "a queue that is made later", sample).await?;
    reader.poller.remove(missing);
    Ok(())
}

async fn secrets_are_read_and_mistakes_name_none(moto: &Moto) -> Result<()> {
    for (name, text) in [("plain", "hidden-word"), ("fields", r#"{"password":"hidden-field"}"#)] {
        moto.ask(REGION, "secretsmanager", "secretsmanager.CreateSecret", &json!({"Name": name, "SecretString": text})).await?;
    }
    let newer = json!({"SecretId": "plain", "SecretString": "hidden-newer"});
    moto.ask(REGION, "secretsmanager", "secretsmanager.PutSecretValue", &newer).await?;
    let [(_, id), (_, secret)] = KEYS;
    let store = |endpoint: &str| AwsSecrets::with_keys(Some(REGION.to_owned()), id.into(), secret.into(), None).at(endpoint);
    let wanted = |name: &str| AwsSecretName { name: name.to_owned(), ..AwsSecretName::default() };
    let of = |name: &str, key: &str| AwsSecretName { key: Some(key.to_owned()), ..wanted(name) };
    let older = AwsSecretName { version_stage: Some("AWSPREVIOUS".to_owned()), ..wanted("plain") };
    let names = [wanted("plain"), older, of("fields", "password"), of("fields", "user"), of("plain", "user"), wanted("nowhere")];
    let mut found = store(&moto.url()).read(&names).await?;
    let wrong: Vec<String> =
        found.split_off(3).into_iter().map(|text| text.map_or_else(|error| error.chain(), |_| "a text".to_owned())).collect();
    let texts = found.into_iter().collect::<Result<Vec<_>, _>>()?;
    let texts: Vec<&str> = texts.iter().map(Secret::expose).collect();
    ensure!(texts == ["hidden-newer", "hidden-word", "hidden-field"], "the secrets read {texts:?}");
    for (told, expected) in wrong.iter().zip(["nothing under secretKey", "no JSON object", "secret nowhere does not exist"]) {
        ensure!(told.contains(expected) && told.contains(REGION), "{expected:?}: {told}");
        ensure!(!told.contains("hidden") && !told.contains(secret), "a secret is told: {told}");
    }
    let line = TcpProxy::start(moto.address()).await?;
    line.close();
    let nobody = store(&format!("http://{}", line.address())).read(&[wanted("plain")]).await?;
    let told = nobody.into_iter().find_map(Result::err).context("a closed line gives a text")?.chain();
    ensure!(told.contains("127.0.0.1") && told.contains("the connection failed") && !told.contains(secret), "a closed line reads: {told}");
    Ok(())
}

async fn an_outage_is_stale_and_then_over(moto: &Moto) -> Result<()> {
    let (mut reader, line) = (Reader::new(), TcpProxy::start(moto.address()).await?);
    let id = reader.set(trigger(&format!("http://{}", line.address()), &moto.queue_url("orders"), &[], &KEYS)?);
    let seven = |sample: &Sample| sample.metric == MetricMilli(7000);
    let stale =
        |reading: &Reading| if let Reading::Stale { last, error, .. } = reading { seven(last).then(|| error.clone()) } else { None };
    reader.until(id, "a value through the line", |reading| sample(reading).filter(seven)).await?;

    line.close();
    let error = reader.until(id, "the last value as stale", stale).await?;
    ensure!(error.contains("127.0.0.1") && !error.contains(KEYS[1].1), "a cut line reads: {error}");
    line.open();
    reader.until(id, "a value after the outage", |reading| sample(reading).filter(seven)).await?;

    moto.pause()?;
    let error = reader.until(id, "the last value as stale", stale).await?;
    ensure!(error.contains("did not answer within 1000 ms"), "a server that hangs reads: {error}");
    moto.resume()?;
    reader.until(id, "a value after it hung", |reading| sample(reading).filter(seven)).await?;
    reader.poller.remove(id);
    Ok(())
}

async fn only_the_right_keys_are_let_in(moto: &Moto) -> Result<()> {
    let mut reader = Reader::new();
    let policy = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}]}).to_string();
    let mut users = Vec::new();
    for user in ["reader", "stranger"] {
        moto.submit("iam", &[("Action", "CreateUser"), ("Version", "2010-05-08"), ("UserName", user)]).await?;
        let made = moto.submit("iam", &[("Action", "CreateAccessKey"), ("Version", "2010-05-08"), ("UserName", user)]).await?;
        users.push((element(&made, "AccessKeyId")?, element(&made, "SecretAccessKey")?));
    }
    let grant = [
        ("Action", "PutUserPolicy"),
        ("Version", "2010-05-08"),
        ("UserName", "reader"),
        ("PolicyName", "queues"),
        ("PolicyDocument", &policy),
    ];
    moto.submit("iam", &grant).await?;
    moto.lock().await?;

    let (endpoint, url) = (moto.url(), moto.queue_url("orders"));
    let keys = |id: &str, secret: &str| trigger(&endpoint, &url, &[], &[("awsAccessKeyID", id), ("awsSecretAccessKey", secret)]);
    let [(id, secret), (stranger, strangers)] = users.as_slice() else { unreachable!("two were made") };
    reader.metric(keys(id, secret)?, 7).await.context("with keys that may")?;
    // moto says no in XML, which SQS itself does not, so the three are told alike.
    for (what, id, secret, expected) in [
        ("a wrong secret", id.as_str(), "not-the-secret-of-this-key", "refuses the login"),
        ("an unknown key", "AKIANOBODYHASTHISKEY", "nobodys-secret", "refuses the login"),
        ("keys that may not", stranger.as_str(), strangers.as_str(), "refuses the login"),
    ] {
        let error = reader.failure(keys(id, secret)?).await?;
        ensure!(error.contains(expected), "{what} reads: {error}");
        ensure!(!error.contains(id) && !error.contains(secret), "{what} tells the keys: {error}");
    }
    Ok(())
}

/// The text of an element of XML.
fn element(text: &str, name: &str) -> Result<String> {
    let after = text.split_once(&format!("<{name}>")).with_context(|| format!("no {name} in {text}"))?.1;
    Ok(after.split_once('<').map_or(after, |(inner, _)| inner).to_owned())
}
