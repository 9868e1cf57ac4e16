//! A certificate authority for tests, and certificates of servers on loopback.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

/// A server's certificate and key, as PEM files.
#[derive(Clone, Debug)]
pub struct ServerCertificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Authority {
    /// A fresh authority, whose own certificate is written into `folder`.
    pub fn new(folder: &Path) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        parameters.distinguished_name.push(DnType::CommonName, "Passgate test authority");
        let key = KeyPair::generate().expect("a key");
        let certificate_pem = parameters.self_signed(&key).expect("a certificate").pem();
        let file = folder.join("ca.pem");
        std::fs::write(&file, &certificate_pem).expect("ca.pem is written");
        Self { file, issuer: Issuer::new(parameters, key), certificate_pem }
    }

    /// The authority's own certificate, as a PEM file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The authority's own certificate, as PEM.
    pub fn pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A certificate for `localhost` and `127.0.0.1`, written into `folder`.
    pub fn server_certificate(&self, folder: &Path, name: &str) -> ServerCertificate {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut parameters = CertificateParams::new(names).expect("valid names");
        parameters.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        let files = ServerCertificate {
            certificate: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
        };
        std::fs::write(&files.certificate, certificate.pem()).expect("the certificate is written");
        std::fs::write(&files.key, key.serialize_pem()).expect("the key is written");
        files
    }

    /// What a client needs to verify this authority's servers.
    pub fn client_config(&self) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).expect("our own PEM");
        roots.add(certificate).expect("our own certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().expect("default versions");
        builder.with_root_certificates(roots).with_no_client_auth()
    }
}
