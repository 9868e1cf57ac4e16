//! Certificates: read, offered, and named for channel binding.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::signature_algorithm::SignatureAlgorithm;

use super::Error;

/// How a listener encrypts.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ListenerTls")]
pub struct TlsConfig {
    /// PEM file of the certificate and those it depends on, leaf first. Read again on SIGHUP.
    pub certificate: PathBuf,
    /// PEM file of its private key. Read again on SIGHUP.
    pub key: PathBuf,
    /// The lowest version of TLS a client may use: `"1.2"` or `"1.3"`. Default: `"1.2"`.
    #[serde(default)]
    pub minimum_version: MinimumVersion,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
pub enum MinimumVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

/// The protocol's name in a TLS handshake. Source: PostgreSQL's `src/include/libpq/pqcomm.h`, `PG_ALPN_PROTOCOL`.
pub(super) const ALPN: &[u8] = b"postgresql";

/// A certificate in use.
pub(super) struct Certificate {
    acceptor: TlsAcceptor,
    end_point: Option<Bytes>,
}

impl Certificate {
    /// Reads certificate and key.
    pub(super) fn read(config: &TlsConfig, folder: &Path) -> Result<Self, Error> {
        let (certificate, key) = (folder.join(&config.certificate), folder.join(&config.key));
        let fail = |path: &Path, cause: &dyn std::fmt::Display| Error::Certificate {
            path: path.to_owned(),
            cause: cause.to_string(),
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&certificate)
            .and_then(Iterator::collect)
            .map_err(|cause| fail(&certificate, &cause))?;
        let Some(leaf) = chain.first() else { return Err(fail(&certificate, &"there is no certificate in it")) };
        let end_point = end_point(leaf);
        let private = PrivateKeyDer::from_pem_file(&key).map_err(|cause| fail(&key, &cause))?;
        let versions: &[&rustls::SupportedProtocolVersion] = match config.minimum_version {
            MinimumVersion::Tls12 => &[&rustls::version::TLS12, &rustls::version::TLS13],
            MinimumVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let mut server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
            .map_err(|cause| fail(&key, &cause))?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(server)), end_point })
    }

    /// Shakes hands.
    pub(super) async fn accept(&self, tcp: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(tcp).await
    }

    /// The `tls-server-end-point` channel binding data.
    pub(super) fn end_point(&self) -> Option<Bytes> {
        self.end_point.clone()
    }
}

/// The hash of a certificate by the hash function of its signature; SHA-256 where that is MD5 or SHA-1. None where the
/// signature has no hash function of its own, as with Ed25519: then there is nothing to bind to.
/// Source: RFC 5929, section 4.1.
fn end_point(certificate: &CertificateDer<'_>) -> Option<Bytes> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let algorithm = &parsed.signature_algorithm;
    let hash = match SignatureAlgorithm::try_from(algorithm) {
        Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) => hash_of_digest(parameters.hash_algorithm_oid()),
        _ => hash_of_signature(&algorithm.algorithm),
    };
    Some(match hash? {
        Hash::Sha224 => Bytes::copy_from_slice(&Sha224::digest(certificate)),
        Hash::Sha256 => Bytes::copy_from_slice(&Sha256::digest(certificate)),
        Hash::Sha384 => Bytes::copy_from_slice(&Sha384::digest(certificate)),
        Hash::Sha512 => Bytes::copy_from_slice(&Sha512::digest(certificate)),
    })
}

#[derive(Clone, Copy)]
enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// Source: RFC 8017 appendix C (RSA) and RFC 5758 (ECDSA).
fn hash_of_signature(algorithm: &Oid<'_>) -> Option<Hash> {
    match algorithm.to_id_string().as_str() {
        // MD5, SHA-1 and SHA-256 with RSA; SHA-1 and SHA-256 with ECDSA.
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.113549.1.1.11" => Some(Hash::Sha256),
        "1.2.840.10045.4.1" | "1.2.840.10045.4.3.2" => Some(Hash::Sha256),
        "1.2.840.113549.1.1.14" | "1.2.840.10045.4.3.1" => Some(Hash::Sha224),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Some(Hash::Sha384),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Some(Hash::Sha512),
        _ => None,
    }
}

/// Source: RFC 5754, section 2, and RFC 3370 for SHA-1, the default of RSASSA-PSS.
fn hash_of_digest(algorithm: &Oid<'_>) -> Option<Hash> {
    match algorithm.to_id_string().as_str() {
        "1.3.14.3.2.26" | "2.16.840.1.101.3.4.2.1" => Some(Hash::Sha256),
        "2.16.840.1.101.3.4.2.4" => Some(Hash::Sha224),
        "2.16.840.1.101.3.4.2.2" => Some(Hash::Sha384),
        "2.16.840.1.101.3.4.2.3" => Some(Hash::Sha512),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    use super::*;

    #[test]
    fn the_certificate_is_hashed_by_its_own_function() {
        for (algorithm, length) in
            [(&PKCS_ECDSA_P256_SHA256, Some(32)), (&PKCS_ECDSA_P384_SHA384, Some(48)), (&PKCS_ED25519, None)]
        {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
            assert_eq!(end_point(certificate.der()).map(|hash| hash.len()), length);
        }
    }
}
