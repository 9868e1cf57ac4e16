//! A client that takes every answer as text, whatever its types, and keeps every word of an error.
//!
//! Not tokio-postgres, which asks the server's catalog about types it does not know and has no way to send a value as
//! text. Signs in with a token, so the same client talks to the gateway and to PostgreSQL.

use std::fmt;
use std::time::Duration;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use passgate_tests::World;
use postgres_protocol::IsNull;
use postgres_protocol::message::backend::{ErrorFields, Message};
use postgres_protocol::message::frontend;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// No answer may take longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Rows with the names and types of their columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    /// Name and type of each column. Not the type's modifier, which changes with what the planner makes of constants.
    pub(crate) columns: Vec<(String, u32)>,
    /// Every row, each value as text.
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

/// An error, with all it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// SQLSTATE.
    pub(crate) sqlstate: String,
    /// The message.
    pub(crate) message: String,
    /// Every field.
    pub(crate) everything: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.sqlstate, self.message)
    }
}

/// What became of a statement.
pub(crate) type Answer = Result<Rows, Refusal>;

/// Where to sign in.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    /// The port on 127.0.0.1.
    pub(crate) port: u16,
    /// The database.
    pub(crate) database: String,
    /// The person.
    pub(crate) user: String,
    /// Their token.
    pub(crate) token: String,
}

/// A connection.
pub(crate) struct Client {
    stream: TlsStream<TcpStream>,
    incoming: BytesMut,
    outgoing: BytesMut,
}

impl Client {
    /// Signs in over TLS.
    pub(crate) async fn connect(world: &World, address: &Address) -> Self {
        let mut socket = TcpStream::connect(("127.0.0.1", address.port)).await.expect("somebody listens");
        let mut outgoing = BytesMut::new();
        frontend::ssl_request(&mut outgoing);
        socket.write_all(&outgoing.split()).await.expect("it is sent");
        assert_eq!(socket.read_u8().await.expect("an answer"), b'S', "the server speaks TLS");
        let tls = TlsConnector::from(std::sync::Arc::new(world.authority.client_config()));
        let stream = tls.connect(ServerName::try_from("localhost").expect("a name"), socket).await.expect("TLS");
        let mut client = Self { stream, incoming: BytesMut::new(), outgoing };
        let parameters = [("user", address.user.as_str()), ("database", &address.database)];
        frontend::startup_message(parameters, &mut client.outgoing).expect("a start-up message");
        client.flush().await;
        loop {
            match client.hear().await.expect("the server goes on") {
                Message::AuthenticationCleartextPassword => {
                    frontend::password_message(address.token.as_bytes(), &mut client.outgoing).expect("a password");
                    client.flush().await;
                }
                Message::ReadyForQuery(_) => return client,
                Message::ErrorResponse(body) => panic!("sign-in: {}", refusal(body.fields())),
                _ => {}
            }
        }
    }

    /// Runs a text through the simple protocol.
    pub(crate) async fn simple(&mut self, text: &str) -> Answer {
        frontend::query(text, &mut self.outgoing).expect("a query");
        self.answer().await
    }

    /// Runs a text through the extended protocol, values and answer as text.
    pub(crate) async fn extended(&mut self, text: &str, values: &[String]) -> Answer {
        let out = &mut self.outgoing;
        frontend::parse("", text, [], out).expect("a parse");
        let serialize = |value: &String, out: &mut BytesMut| {
            out.extend_from_slice(value.as_bytes());
            Ok(IsNull::No)
        };
        let bound = frontend::bind("", "", [], values, serialize, [], out);
        assert!(bound.is_ok(), "the values fit in a message");
        frontend::describe(b'P', "", out).expect("a describe");
        frontend::execute("", 0, out).expect("an execute");
        frontend::sync(out);
        self.answer().await
    }

    /// Runs a query as the source of `COPY`: one column, a line a row.
    pub(crate) async fn copy(&mut self, text: &str) -> Answer {
        self.simple(&format!("COPY ({text}) TO STDOUT")).await
    }

    /// Reads a query through a cursor.
    pub(crate) async fn cursor(&mut self, text: &str) -> Answer {
        self.simple("BEGIN").await?;
        let answer = match self.simple(&format!("DECLARE reading CURSOR FOR {text}")).await {
            Ok(_) => self.simple("FETCH ALL FROM reading").await,
            Err(refusal) => Err(refusal),
        };
        self.simple("ROLLBACK").await?;
        answer
    }

    /// Runs a query through `PREPARE` and `EXECUTE`.
    pub(crate) async fn prepared(&mut self, text: &str) -> Answer {
        self.simple(&format!("PREPARE prepared AS {text}")).await?;
        let answer = self.simple("EXECUTE prepared").await;
        self.simple("DEALLOCATE prepared").await?;
        answer
    }

    async fn answer(&mut self) -> Answer {
        self.flush().await;
        let (mut rows, mut error) = (Rows::default(), None);
        loop {
            let heard = self.hear().await;
            match heard.unwrap_or_else(|problem| panic!("{problem}; the last error is {error:?}")) {
                Message::RowDescription(body) => {
                    let column = |field: postgres_protocol::message::backend::Field<'_>| {
                        Ok((field.name().to_owned(), field.type_oid()))
                    };
                    rows.columns = body.fields().map(column).collect().expect("columns");
                }
                Message::DataRow(body) => {
                    let text =
                        |range: std::ops::Range<usize>| String::from_utf8_lossy(&body.buffer()[range]).into_owned();
                    let values = body.ranges().map(|range| Ok(range.map(text)));
                    rows.rows.push(values.collect().expect("values"));
                }
                Message::CopyOutResponse(_) => rows.columns = vec![("copy".to_owned(), 0)],
                Message::CopyData(body) => {
                    rows.rows.push(vec![Some(String::from_utf8_lossy(body.data()).into_owned())]);
                }
                Message::ErrorResponse(body) => error = Some(refusal(body.fields())),
                Message::ReadyForQuery(_) => return error.map_or(Ok(rows), Err),
                _ => {}
            }
        }
    }

    async fn flush(&mut self) {
        let outgoing = self.outgoing.split();
        self.stream.write_all(&outgoing).await.expect("it is sent");
        self.stream.flush().await.expect("it is sent");
    }

    async fn hear(&mut self) -> Result<Message, String> {
        loop {
            if let Some(message) = Message::parse(&mut self.incoming).map_err(|error| error.to_string())? {
                return Ok(message);
            }
            let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.incoming));
            match read.await {
                Ok(Ok(0)) => return Err("the server has closed the connection".to_owned()),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err(format!("nothing for {} s", PATIENCE.as_secs())),
            }
        }
    }
}

fn refusal(mut fields: ErrorFields<'_>) -> Refusal {
    let mut refusal = Refusal { sqlstate: String::new(), message: String::new(), everything: String::new() };
    while let Some(field) = fields.next().expect("a field") {
        let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
        refusal.everything.push_str(&format!("{}: {value}\n", char::from(field.type_())));
        match field.type_() {
            b'C' => refusal.sqlstate = value,
            b'M' => refusal.message = value,
            _ => {}
        }
    }
    refusal
}
