//! Signatures of requests, as the references of the two services define them: HMAC with SHA-256 over some of a request.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use reqwest::Request;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use springtide_core::Timestamp;

use super::{NamespaceKey, StorageKey};
use crate::secret::Secret;

/// How long a token for Service Bus is good: for its own request, and for clocks that differ by some minutes.
const LIFE: SignedDuration = SignedDuration::from_mins(20);

impl StorageKey {
    /// Signs a request of storage with the scheme SharedKey of version 2009-09-19 and later, and returns the signature. `now` goes into it; the service
    /// takes none that is older than 15 minutes.
    ///
    /// # Errors
    /// A key that is no base64.
    pub(crate) fn sign(&self, request: &mut Request, now: Timestamp) -> Result<Secret, String> {
        let key = STANDARD
            .decode(self.key.expose())
            .map_err(|_| "AccountKey is not base64; copy it anew from the account's access keys".to_owned())?;
        let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        set(request, HeaderName::from_static("x-ms-date"), &date)?;
        let signature = mac(&key, &self.text(request));
        set(request, AUTHORIZATION, &format!("SharedKey {}:{signature}", self.account))?;
        Ok(Secret::from(signature))
    }

    /// What is signed: the method, eleven headers that a GET does not have, the headers of the service itself, and what is asked for.
    fn text(&self, request: &Request) -> String {
        let mut own: Vec<(&str, &str)> = request
            .headers()
            .iter()
            .filter(|(name, _)| name.as_str().starts_with("x-ms-"))
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default().trim()))
            .collect();
        own.sort_unstable();
        let own: String = own.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let mut parameters: Vec<(String, String)> =
            request.url().query_pairs().map(|(name, value)| (name.to_lowercase(), value.into_owned())).collect();
        parameters.sort_unstable();
        let parameters: String = parameters.iter().map(|(name, value)| format!("\n{name}:{value}")).collect();
        format!("{}{}{own}/{}{}{parameters}", request.method(), "\n".repeat(12), self.account, request.url().path())
    }
}

impl NamespaceKey {
    /// Shows a shared access signature for the queue, topic or list that is asked about, and returns what is secret of it.
    ///
    /// # Errors
    /// A rule's name that cannot stand in a header.
    pub(crate) fn sign(&self, request: &mut Request, now: Timestamp) -> Result<Secret, String> {
        let mut resource = request.url().clone();
        resource.set_query(None);
        let resource = form_text(resource.as_str());
        let expiry = now.as_second() + LIFE.as_secs();
        let signature = form_text(&mac(self.key.expose().as_bytes(), &format!("{resource}\n{expiry}")));
        let token = format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn={}", form_text(&self.name));
        set(request, AUTHORIZATION, &token)?;
        Ok(Secret::from(signature))
    }
}

fn mac(key: &[u8], text: &str) -> String {
    STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()))
}

fn form_text(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn set(request: &mut Request, name: HeaderName, text: &str) -> Result<(), String> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| format!("what goes into the header {name} has a control character; correct the connection string"))?;
    // Then no library prints it.
    value.set_sensitive(name == AUTHORIZATION);
    request.headers_mut().insert(name, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use reqwest::Method;

    use super::*;

    #[test]
    fn storage_is_signed_as_its_reference_says() {
        let mut request = Request::new(
            Method::GET,
            "https://orders.queue.core.windows.net/my-queue?numofmessages=32&comp=Meta%20Data".parse().expect("a URL"),
        );
        request.headers_mut().insert("x-ms-version", HeaderValue::from_static("2021-12-02"));
        let key = StorageKey { account: "orders".to_owned(), key: Secret::from("a2V5") };
        let signature = key.sign(&mut request, Timestamp::UNIX_EPOCH).expect("signed");
        assert_eq!(request.headers()["x-ms-date"], "Thu, 01 Jan 1970 00:00:00 GMT");
        let text = "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Thu, 01 Jan 1970 00:00:00 GMT\nx-ms-version:2021-12-02\n/orders/my-queue\ncomp:Meta Data\nnumofmessages:32";
        assert_eq!(key.text(&request), text);
        assert_eq!(signature.expose(), mac(b"key", text));
        assert_eq!(request.headers()["authorization"], format!("SharedKey orders:{}", signature.expose()));
        let bad = StorageKey { account: "orders".to_owned(), key: Secret::from("s3cret!") };
        let reason = bad.sign(&mut request, Timestamp::UNIX_EPOCH).expect_err("no base64");
        assert!(reason.contains("AccountKey") && !reason.contains("s3cret"));
    }

    #[test]
    fn the_mac_is_that_of_the_standard() {
        // RFC 4231, test case 2.
        let expected: Vec<u8> = (0..64)
            .step_by(2)
            .map(|at| u8::from_str_radix(&"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"[at..at + 2], 16).expect("hex"))
            .collect();
        assert_eq!(STANDARD.decode(mac(b"Jefe", "what do ya want for nothing?")).expect("base64"), expected);
    }

    #[test]
    fn service_bus_gets_a_signature_for_what_is_asked_about() {
        let mut request = Request::new(Method::GET, "https://ns.servicebus.windows.net/a%2Fb?api-version=2021-05".parse().expect("a URL"));
        let key = NamespaceKey { name: "Root Rule".to_owned(), key: Secret::from("key") };
        let signature = key.sign(&mut request, Timestamp::UNIX_EPOCH).expect("signed");
        let resource = "https%3A%2F%2Fns.servicebus.windows.net%2Fa%252Fb";
        let expected = form_text(&mac(b"key", &format!("{resource}\n1200")));
        assert_eq!(signature.expose(), expected);
        let token = format!("SharedAccessSignature sr={resource}&sig={expected}&se=1200&skn=Root+Rule");
        assert_eq!(request.headers()["authorization"], token);
    }
}
