//! The two databases, and a gateway before the truth.

use passgate_tests::gateway::Mode;
use passgate_tests::token::now;
use passgate_tests::{Gateway, Settings, World};
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::catalog::Catalog;
use super::client::Address;

/// The database behind the gateway.
pub(crate) const TRUTH: &str = "truth";
/// Its twin, with the policy applied to the data.
pub(crate) const SAFE: &str = "safe";
/// Who asks.
const PERSON: &str = "alice";

/// Makes both databases and reads what they hold.
pub(crate) async fn make(world: &World) -> Catalog {
    let server = world.postgres.admin().await;
    server.batch_execute("CREATE DATABASE truth").await.expect("a database");
    admin(world, TRUTH).await.batch_execute(include_str!("truth.sql")).await.expect("the truth is made");
    // A template may have no connections, and ours closes in its own time.
    let copy = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'truth'";
    server.execute(copy, &[]).await.expect("it is left alone");
    // A copy and not another load, so that types have the same oids in both.
    server.batch_execute("CREATE DATABASE safe TEMPLATE truth").await.expect("a copy");
    for database in [TRUTH, SAFE] {
        let settings = format!(
            "ALTER DATABASE {database} SET search_path = fleet; ALTER DATABASE {database} SET statement_timeout = '4s'; \
             ALTER DATABASE {database} SET jit = off"
        );
        server.batch_execute(&settings).await.expect("settings");
    }
    let safe = admin(world, SAFE).await;
    safe.batch_execute(include_str!("safe.sql")).await.expect("the twin is made safe");
    Catalog::read(&admin(world, TRUTH).await, &safe).await
}

/// A connection behind the scenes.
pub(crate) async fn admin(world: &World, database: &str) -> Client {
    world.postgres.connect("postgres", "harness-secret", database).await.expect("the harness signs in")
}

/// What hashes are made with; safe.sql has the salt of alice's tenant, `acme`, that comes of it.
const HASH_SECRET: &str = "a secret that only the tests know, and no tenant";

/// A gateway before `truth`, under the policy where it is `governed`.
pub(crate) async fn gateway(world: &World, governed: bool) -> Gateway {
    let mut settings = Settings::new(world, Mode::SessionAuthorization);
    settings.file["databases"][0]["name"] = json!(TRUTH);
    settings.file["databases"][0]["database"] = json!(TRUTH);
    settings.file["databases"][0]["schema_name"] = json!("fleet");
    let schemas = if governed { json!(["fleet"]) } else { json!(["fleet", "vault"]) };
    let open = json!({ "name": "fleet", "check": "schema_whitelist", "schemas": schemas, "functions": ["fleet.band"] });
    settings = settings.policy("schema.json", &open);
    if governed {
        settings.file["policies"]["hash_secret"] = json!(HASH_SECRET);
        settings.policies.insert("governed.jsonc".to_owned(), include_str!("policy.json").to_owned());
        settings.policies.insert("tags.json".to_owned(), include_str!("tags.json").to_owned());
    }
    settings.start().await
}

/// Where alice asks; her token lasts as long as a hunt.
pub(crate) fn address(world: &World, port: u16, database: &str) -> Address {
    let mut claims = world.openid.claims(PERSON);
    if let (Some(claims), Value::Object(more)) = (claims.as_object_mut(), attributes()) {
        claims.extend(more);
        claims.insert("exp".to_owned(), json!(now() + 86_400));
    }
    let token = world.openid.signer().sign(&claims);
    Address { port, database: database.to_owned(), user: PERSON.to_owned(), token }
}

fn attributes() -> Value {
    json!({ "depots": ["HAM", "OSL"], "home": "HAM", "clearance": 2 })
}
