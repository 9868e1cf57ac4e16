//! Real servers on free ports, and the gateway under test.
//!
//! ```text
//! World ─┬─ Authority   one test CA; every server's certificate is from it
//!        ├─ OpenId      npm's oidc-provider over HTTPS, and the key to sign what it never would
//!        ├─ ldap        lets PostgreSQL take that provider's tokens as passwords
//!        └─ Postgres    PostgreSQL 15 with TLS, roles and row-level security
//! Gateway                the real program, started with settings of the test's own against a World
//! ```
//!
//! A test binary shares one [`World`]; each test starts the gateways it needs. Nothing outlives the test process, even
//! when it is killed: see [`process`].

pub mod certificates;
pub mod clients;
pub mod gateway;
pub mod ldap;
pub mod openid;
pub mod postgres;
pub mod process;
pub mod token;
pub mod wire;

use std::sync::OnceLock;

pub use certificates::Authority;
pub use gateway::{Gateway, Settings};
pub use openid::OpenId;
pub use postgres::Postgres;
pub use token::Signer;

/// The servers that the tests of one binary share.
#[derive(Debug)]
pub struct World {
    /// Where every server's certificate comes from.
    pub authority: Authority,
    /// The OpenID provider.
    pub openid: OpenId,
    /// The warehouse.
    pub postgres: Postgres,
}

impl World {
    /// The world of this test binary, built at the first call.
    pub fn shared() -> &'static Self {
        static WORLD: OnceLock<World> = OnceLock::new();
        // A thread of its own: tests that call this are inside a runtime, which may not be blocked on.
        WORLD.get_or_init(|| std::thread::spawn(Self::build).join().expect("the world is built"))
    }

    /// A world of one test's own, to break.
    pub fn apart() -> &'static Self {
        let world = std::thread::spawn(Self::build).join().expect("the world is built");
        // It ends with the process, as the shared one.
        Box::leak(Box::new(world))
    }

    fn build() -> Self {
        // An error means that another part of the process was first, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        // One folder for all of it, which goes when PostgreSQL does.
        let folder = tempfile::TempDir::new().expect("a folder").keep();
        let authority = Authority::new(&folder);
        let openid = OpenId::start(&authority, &folder);
        let directory = ldap::start(openid.token_check());
        let postgres = Postgres::start(&authority, directory, &folder);
        Self { authority, openid, postgres }
    }
}
