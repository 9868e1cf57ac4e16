//! Databases that show a source's catalog, each made once and served by processes of our own.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Once;
use std::{fs, io};

use futures_util::future::BoxFuture;
use passgate_connectors::postgres::Child;
use passgate_connectors::{Programs, Script};

use super::private_folder::PrivateFolder;
use super::program::{Error, Program};
use super::{LOGIN, Recipe};

/// Whose everything is in there, and whom sessions run as: no superuser, so that it is refused what people are.
const READER: &str = "passgate";

/// Processes that show catalogs, and the folder that they work in.
pub struct ShadowPrograms {
    program: Program,
    memory_mebibytes_max: u64,
    swept: Once,
    /// Removed at the end, where it is one that nobody named.
    _folder: Option<PrivateFolder>,
}

impl ShadowPrograms {
    /// With this folder, or a new one that goes with this value. Each session may take so much memory: what PostgreSQL
    /// has taken there it never gives back.
    pub fn new(directory: Option<&Path>, memory_mebibytes_max: u64) -> Result<Self, Error> {
        let made = match directory {
            Some(path) => named(path).and_then(|()| Ok((path.canonicalize()?, None))),
            None => PrivateFolder::create(&std::env::temp_dir())
                .and_then(|folder| Ok((folder.path().canonicalize()?, Some(folder)))),
        };
        let (path, folder) = made.map_err(Error::Recipe)?;
        Ok(Self { program: Program::new(&path)?, memory_mebibytes_max, swept: Once::new(), _folder: folder })
    }
}

/// Has a folder of this name be there, and be nobody else's to write to: native code is loaded from it.
fn named(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o022 != 0 {
        return Err(io::Error::other(format!("{} can be written to by others; chmod 700 it", path.display())));
    }
    Ok(())
}

impl Programs for ShadowPrograms {
    fn make<'a>(&'a self, database: &'a str, script: &'a Script) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            // Those of a gateway before this one would never be removed, and may be of another version.
            self.swept.call_once(|| self.program.remove_all());
            if self.program.has(script.fingerprint()) {
                return Ok(());
            }
            let owner = format!("ALTER DATABASE \"{}\" OWNER TO {READER}", database.replace('"', "\"\""));
            let become_role = |role: &str| format!("SET SESSION AUTHORIZATION {role}").into();
            let mut statements = vec![become_role(READER)];
            statements.extend_from_slice(script.statements());
            statements.push(become_role(LOGIN));
            statements.extend_from_slice(script.estimates());
            let steps = vec![format!("CREATE ROLE {READER} LOGIN"), owner];
            let recipe = Recipe { database: database.to_owned(), steps, statements };
            self.program.make(script.fingerprint(), &recipe).await.map_err(|error| error.to_string())
        })
    }

    fn program(&self, script: &Script) -> Child {
        let mut child = self.program.child(script.fingerprint());
        child.arguments.extend(["--memory-mebibytes-max".to_owned(), self.memory_mebibytes_max.to_string()]);
        child
    }

    fn roles(&self) -> (&str, &str) {
        (LOGIN, READER)
    }

    fn forget(&self, fingerprint: &str) {
        self.program.remove(fingerprint);
    }
}
