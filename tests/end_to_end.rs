//! The main job, seen from outside: real clients, real tokens, real PostgreSQL, the real program.

use passgate_tests::World;
use passgate_tests::clients::Login;

#[tokio::test]
async fn the_warehouse_itself_takes_tokens_and_shows_each_person_their_rows() {
    let world = World::shared();
    let count = "SELECT count(*), min(region) FROM sales";
    let as_person = async |person: &str| {
        let token = world.openid.token(person).await;
        Login::new(world, world.postgres.port(), person, &token).psql(count).await
    };
    assert_eq!(as_person("alice").await.rows(), ["100|WEST"]);
    assert_eq!(as_person("bob").await.rows(), ["300|EAST"]);
    let stolen = world.openid.token("alice").await;
    let said = Login::new(world, world.postgres.port(), "bob", &stolen).psql(count).await;
    assert!(!said.ok && said.errors.contains("LDAP authentication failed"), "{said:?}");
}
