//! Stores against doubles that answer as the references of both services say.

use std::path::PathBuf;

use super::*;
use crate::fake::Fake;

fn named(name: &str, version: Option<&str>) -> Named {
    Named { name: name.to_owned(), version: version.map(str::to_owned) }
}

async fn read(store: &dyn Store, names: &[Named]) -> Vec<Result<Secret, String>> {
    let answers = store.read(names).await.expect("a store that answers");
    answers.into_iter().map(|answer| answer.map_err(|error| error.chain())).collect()
}

#[tokio::test]
async fn a_vaults_secrets_are_read_by_name_and_version() {
    let fake = Fake::default();
    let host = format!("http://{}", fake.serve().await);
    fake.answer("/tenant/oauth2/v2.0/token", 200, r#"{"access_token":"t0ken","expires_in":3600}"#);
    fake.answer("/secrets/password?api-version=7.4", 200, r#"{"value":"hunter2","id":"x"}"#);
    fake.answer("/secrets/password/one?", 200, r#"{"value":"older"}"#);
    fake.answer("/secrets/odd?", 200, r#"{"value":7,"s3cret":"s3cret"}"#);
    fake.answer("/secrets/locked?", 403, r#"{"error":{"code":"Forbidden","message":"Caller is not authorized, t0ken"}}"#);
    let cloud = VaultCloud { authority: host.clone(), resource: host.clone() };
    let access = VaultAccess::Application { client: "id".to_owned(), tenant: "tenant".to_owned(), secret: Secret::from("s3cret") };
    let vault = KeyVault::new(&format!("{host}/"), access, &cloud);
    let names = [named("password", None), named("password", Some("one")), named("odd", None), named("locked", None), named("gone", None)];
    let answers = read(&vault, &names).await;
    assert_eq!(answers[..2], [Ok(Secret::from("hunter2")), Ok(Secret::from("older"))]);
    for (answer, word) in answers[2..].iter().zip(["check the address", "refuses the login", "secret \"gone\" does not exist"]) {
        let error = answer.as_ref().expect_err(word);
        assert!(error.contains(word) && !error.contains("s3cret") && !error.contains("t0ken"), "{error}");
    }
    assert!(fake.headers("authorization")[1..].iter().all(|shown| shown == "Bearer t0ken"));
    assert!(!format!("{vault:?}").contains("s3cret"));
    let public = VaultCloud::named("AzurePublicCloud").expect("a cloud");
    for elsewhere in [
        "ftp://shop.vault.azure.net",
        "https://evil.example",
        "https://evilvault.azure.net",
        "https://vault.azure.net.evil.example",
        "shop",
    ] {
        let open = KeyVault::new(elsewhere, VaultAccess::Workload(Workload::default()), &public);
        assert!(open.read(&names).await.is_err_and(|error| error.chain().contains("vaultUri")), "{elsewhere}");
    }
}

#[tokio::test]
async fn googles_secrets_are_read_by_id_and_version() {
    let fake = Fake::default();
    let host = fake.serve().await;
    fake.answer("/computeMetadata/v1/instance/service-accounts/default/token?", 200, r#"{"access_token":"t0ken","expires_in":600}"#);
    fake.answer("/computeMetadata/v1/project/project-id", 200, "shop");
    fake.answer("/v1/projects/shop/secrets/password/versions/latest:access", 200, r#"{"name":"x","payload":{"data":"aHVudGVyMg=="}}"#);
    fake.answer("/v1/projects/shop/secrets/password/versions/1:access", 200, r#"{"payload":{"data":"b2xkZXI="}}"#);
    fake.answer("/v1/projects/shop/secrets/odd/", 200, r#"{"payload":{"data":"s3cret!"}}"#);
    let store =
        SecretManager::at(ManagerAccess::Machine(Machine { metadata_host: Some(host.clone()), project: None }), &format!("http://{host}"));
    let answers = read(&store, &[named("password", None), named("password", Some("1")), named("odd", None), named("gone", None)]).await;
    assert_eq!(answers[..2], [Ok(Secret::from("hunter2")), Ok(Secret::from("older"))]);
    assert!(answers[2].as_ref().is_err_and(|error| error.contains("no base64") && !error.contains("s3cret")), "{answers:?}");
    assert!(answers[3].as_ref().is_err_and(|error| error.contains("does not exist")), "{answers:?}");
    for (key, word) in [("s3cret", "no JSON"), (r#"{"client_email":"a","private_key":"s3cret"}"#, "project_id")] {
        let error = SecretManager::new(ManagerAccess::Key(Secret::from(key))).read(&[]).await.expect_err(word).chain();
        assert!(error.contains(word) && !error.contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn a_workload_without_a_token_says_what_is_missing() {
    let workload = Workload {
        client: Some("id".to_owned()),
        tenant: Some("t".to_owned()),
        authority: None,
        token_file: Some(PathBuf::from("/nowhere/token")),
    };
    let cloud = VaultCloud::named("azurechinacloud").expect("a cloud");
    let vault = KeyVault::new("https://shop.vault.azure.cn", VaultAccess::Workload(workload), &cloud);
    assert!(vault.read(&[]).await.is_err_and(|error| error.chain().contains("/nowhere/token")));
    assert_eq!((VaultCloud::named("Private"), VaultCloud::named("heaven")), (None, None));
}
