//! The people, what they ask, and what they must get.

use passgate_tests::clients::connect;
use passgate_tests::gateway::Mode;
use passgate_tests::{Gateway, Settings, World};
use serde_json::json;
use tokio_postgres::{Client, Error, Row};

/// People, each with a region that nobody else has.
pub(crate) const PEOPLE: usize = 24;

pub(crate) fn person(number: usize) -> String {
    format!("person{:02}", number % PEOPLE)
}

pub(crate) async fn make_people(world: &World) {
    let admin = world.postgres.admin().await;
    for number in 0..PEOPLE {
        let name = person(number);
        let text = format!(
            "CREATE ROLE {name} LOGIN IN ROLE people;
            INSERT INTO territories SELECT '{name}', '{name} ' || n FROM generate_series(1, 20) AS n"
        );
        admin.batch_execute(&text).await.expect("a person is made");
    }
}

/// A gateway for all of them, where everybody works through a few connections and waits for them.
pub(crate) fn settings(world: &World) -> Settings {
    let names: Vec<String> = (0..PEOPLE).map(person).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let filter = json!({ "name": "own", "action": "filter", "tables": ["territories"], "rows": "person = user.name" });
    let mut settings = Settings::new(world, Mode::SessionAuthorization).with_people(&names).policy("own.json", &filter);
    settings.file["databases"][0]["connections_max"] = json!(2 * PEOPLE);
    settings.file["databases"][0]["connections_per_person_max"] = json!(2);
    settings.file["databases"][0]["checkout_ms_max"] = json!(60_000);
    settings
}

pub(crate) async fn sign_in(world: &World, gateway: &Gateway, person: &str) -> Client {
    connect(world, gateway.port(), person, &format!("{person}-password")).await.expect("a person signs in")
}

/// Asks for everything, one way or another, and gets what is the person's: by the policy, and by the name that the source
/// knows.
pub(crate) async fn ask_own(client: &Client, person: &str, turn: u64) -> Result<(), Error> {
    let text = "SELECT person, region, current_user::text AS me FROM territories";
    let rows = match turn % 4 {
        0 => client.query(text, &[]).await?,
        1 => {
            let statement = client.prepare(text).await?;
            client.query(&statement, &[]).await?
        }
        2 => {
            client.batch_execute("BEGIN").await?;
            let rows = client.query(text, &[]).await?;
            client.batch_execute("COMMIT").await?;
            rows
        }
        _ => {
            client.batch_execute(&format!("BEGIN; DECLARE c CURSOR FOR {text}")).await?;
            let rows = client.query("FETCH ALL FROM c", &[]).await?;
            client.batch_execute("COMMIT").await?;
            rows
        }
    };
    assert_own(person, &rows);
    Ok(())
}

fn assert_own(person: &str, rows: &[Row]) {
    assert_eq!(rows.len(), 20, "{person}");
    for row in rows {
        let (of, region, me): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        assert_eq!((of.as_str(), me.as_str()), (person, person));
        assert!(region.starts_with(person), "{person} reads {region}");
    }
}
