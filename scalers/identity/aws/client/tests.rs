//! Roles, at an STS in the same process.

use super::*;
use crate::fake::Fake;

const ASSUMED: &str = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
    <AccessKeyId>ASIATEMP</AccessKeyId><SecretAccessKey>tempsecret</SecretAccessKey><SessionToken>temptoken</SessionToken>\
    <Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";

const DENIED: &str = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>AccessDenied</Code>\
    <Message>User arn:aws:iam::1:user/me is not authorized to perform: sts:AssumeRole</Message></Error></ErrorResponse>";

/// The daemon's own identity, by keys, before a role is taken on.
async fn own() -> SdkConfig {
    let identity = Identity {
        region: Some("eu-west-1".to_owned()),
        way: Way::Keys { id: Secret::from("AKIAOWN"), secret: Secret::from("ownsecret"), token: None },
    };
    identity.config("SQS", None).await.expect("keys need nothing")
}

#[tokio::test]
async fn a_role_is_taken_on_by_the_daemons_own_identity() {
    let fake = Fake::default();
    fake.answer("/", 200, ASSUMED);
    let config = own().await.into_builder().endpoint_url(format!("http://{}", fake.serve().await)).build();
    let provider = role("arn:aws:iam::1:role/theirs", Some("word"), &config).await;
    let credentials = provider.provide_credentials().await.expect("credentials");
    assert_eq!((credentials.access_key_id(), credentials.session_token()), ("ASIATEMP", Some("temptoken")));
    assert!(fake.headers("authorization").iter().all(|text| text.contains("AKIAOWN/") && text.contains("/sts/aws4_request")));
    // Nothing that is printed has what it was given.
    let shown = format!("{credentials:?} {provider:?} {config:?}");
    assert!(!shown.contains("tempsecret") && !shown.contains("temptoken") && !shown.contains("ownsecret"), "{shown}");
}

#[tokio::test]
async fn a_role_that_may_not_be_taken_on_is_an_error_that_says_so() {
    let fake = Fake::default();
    fake.answer("/", 403, DENIED);
    let config = own().await.into_builder().endpoint_url(format!("http://{}", fake.serve().await)).build();
    let error = role("arn:aws:iam::1:role/theirs", None, &config).await.provide_credentials().await.expect_err("denied");
    let text = no_credentials("SQS in eu-west-1", &told(&error)).to_string();
    assert!(text.contains("not authorized to perform: sts:AssumeRole") && text.contains("let the daemon's ServiceAccount"), "{text}");
    assert!(!text.contains("ownsecret"), "{text}");
}
