//! A certificate authority that lives as long as the demonstration, and what it signs.
//!
//! Separate so that the gateway's listener and the identity provider have certificates of the same authority, and each
//! is verified as it would be in production.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

use super::Error;

/// Long enough for any demonstration, short enough to be worthless afterwards.
const LIFETIME: Duration = Duration::days(7);

/// The authority. Its key is nowhere but in memory.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(super) fn new() -> Result<Self, Error> {
        let mut parameters = parameters("Passgate demonstration authority", &[])?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = parameters.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(parameters, key), pem })
    }

    /// The authority's own certificate, to be trusted.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a server on this machine.
    pub(super) fn issue(&self, name: &str) -> Result<ServerCertificate, Error> {
        let mut parameters = parameters(name, &["localhost", "127.0.0.1", "::1"])?;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        Ok(ServerCertificate { certificate, key })
    }
}

/// A server's certificate and key.
pub(super) struct ServerCertificate {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl ServerCertificate {
    pub(super) fn certificate_pem(&self) -> String {
        self.certificate.pem()
    }

    pub(super) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    pub(super) fn der(&self) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        (self.certificate.der().clone(), PrivatePkcs8KeyDer::from(self.key.serialize_der()).into())
    }
}

fn parameters(name: &str, addresses: &[&str]) -> Result<CertificateParams, Error> {
    let addresses: Vec<String> = addresses.iter().map(|&address| address.to_owned()).collect();
    let mut parameters = CertificateParams::new(addresses)?;
    parameters.distinguished_name.push(DnType::CommonName, name);
    let now = OffsetDateTime::now_utc();
    parameters.not_before = now.saturating_sub(Duration::HOUR);
    parameters.not_after = now.saturating_add(LIFETIME);
    Ok(parameters)
}
