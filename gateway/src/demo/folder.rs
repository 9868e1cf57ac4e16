//! The demonstration's folder: a settings file, policies, certificates and tokens, as a person would have written them.
//!
//! Separate so that what the demonstration runs on can be read in one place, and because all of it is removed at the end.
//! The gateway is then started from this folder exactly as `passgate serve` starts it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use passgate_connectors::Secret;
use serde_json::{Value, json};

use super::certificates::Authority;
use super::identity_provider::AUDIENCE;
use super::{Error, Person};

const POLICIES: [(&str, &str); 5] = [
    ("schema-whitelist.json", include_str!("policies/schema-whitelist.json")),
    ("no-mutations.json", include_str!("policies/no-mutations.json")),
    ("row-limit.json", include_str!("policies/row-limit.json")),
    ("no-cross-join.json", include_str!("policies/no-cross-join.json")),
    ("block-pii-tables.json", include_str!("policies/block-pii-tables.json")),
];

const REMOVE_ATTEMPTS_MAX: u32 = 100;
const REMOVE_PAUSE: Duration = Duration::from_millis(20);

/// What the settings file says that is not known before the start.
pub(super) struct Settings<'a> {
    /// The gateway's port; 0 takes a free one.
    pub(super) port: u16,
    /// Least level of log records.
    pub(super) log_level: &'static str,
    /// The identity provider's address.
    pub(super) issuer: &'a str,
    /// The entry of `databases`.
    pub(super) database: Value,
    /// Where programs that show the catalog may work.
    pub(super) shadows: &'a Path,
}

/// A folder that nobody else can read, removed when dropped.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn create() -> Result<Self, Error> {
        let directory = tempfile::Builder::new()
            .prefix("passgate-demo-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .map_err(Error::Folder)?;
        // Absolute, since it is told to other programs. From here on `Drop` removes it.
        let path = directory.path().canonicalize().map_err(Error::Folder)?;
        let _ = directory.keep();
        Ok(Self { path })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A private folder below this one.
    pub(super) fn create_folder(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.path(name);
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(Error::Folder)?;
        Ok(path)
    }

    pub(super) fn write_policies(&self) -> Result<(), Error> {
        let folder = self.create_folder("policies")?;
        POLICIES.iter().try_for_each(|(name, text)| write(&folder.join(name), text))
    }

    pub(super) fn write_certificates(&self, authority: &Authority) -> Result<(), Error> {
        let gateway = authority.issue("passgate")?;
        write(&self.path("authority.pem"), authority.pem())?;
        write(&self.path("gateway.pem"), &gateway.certificate_pem())?;
        write(&self.path("gateway.key"), &gateway.key_pem())
    }

    /// Writes the person's token, to be read into `PGPASSWORD`.
    pub(super) fn write_token(&self, person: &Person, token: &Secret) -> Result<(), Error> {
        write(&self.path(&format!("{}.token", person.name)), token.expose())
    }

    /// Writes the settings file and says where it is.
    pub(super) fn write_settings(&self, settings: Settings<'_>) -> Result<PathBuf, Error> {
        let path = self.path("passgate.yaml");
        // JSON is YAML, and quotes whatever a path may contain.
        write(&path, &format!("{:#}\n", document(settings)))?;
        Ok(path)
    }
}

impl Drop for Folder {
    // The warehouse's processes have been told to end, but may write a last file while their folder is being emptied.
    fn drop(&mut self) {
        for _ in 0..REMOVE_ATTEMPTS_MAX {
            if fs::remove_dir_all(&self.path).is_ok() || !self.path.exists() {
                return;
            }
            std::thread::sleep(REMOVE_PAUSE);
        }
        tracing::warn!(path = %self.path.display(), "the demonstration's folder is left behind");
    }
}

fn document(settings: Settings<'_>) -> Value {
    json!({
        "environment": "demonstration",
        "listeners": [{
            "address": format!("127.0.0.1:{}", settings.port),
            "tls": { "certificate": "gateway.pem", "key": "gateway.key" },
            "sign_in": ["development"],
            // Loopback only, so that a client with sslmode=disable can be tried too.
            "dangerously_allow_plaintext": true,
        }],
        "sign_in": [{
            "name": "development",
            "type": "oidc",
            "issuer": settings.issuer,
            "audience": [AUDIENCE],
            "algorithms": ["ES256"],
            "ca_file": "authority.pem",
        }],
        "databases": [settings.database],
        // The warehouse's folder, so that native code is there already.
        "catalog": { "shadow": { "directory": settings.shadows } },
        "policies": { "folder": "policies" },
        "audit": [{ "type": "file", "path": "audit.jsonl" }],
        // Whoever ends the demonstration is watching, and waits.
        "limits": { "server": { "drain_seconds": 3 } },
        "http": { "address": "127.0.0.1:0" },
        "log": { "level": settings.log_level },
    })
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(path).map_err(Error::Folder)?;
    file.write_all(text.as_bytes()).map_err(Error::Folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_private_and_goes_when_dropped() {
        let folder = Folder::create().unwrap();
        folder.write_policies().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (root, policies) = (folder.path.clone(), folder.path("policies"));
        assert_eq!(mode(&root), 0o700);
        assert_eq!(mode(&policies), 0o700);
        assert_eq!(mode(&policies.join("row-limit.json")), 0o600);
        drop(folder);
        assert!(!root.exists());
    }

    #[test]
    fn the_policies_compile() {
        let file =
            |(name, text): (&str, &str)| passgate_policy::PolicyFile { path: name.to_owned(), text: text.to_owned() };
        passgate_policy::compile(&POLICIES.map(file), None, &passgate_policy::NoSql).unwrap();
    }

    #[test]
    fn every_policy_in_the_folder_is_written() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo/policies");
        assert_eq!(fs::read_dir(folder).unwrap().count(), POLICIES.len());
    }
}
