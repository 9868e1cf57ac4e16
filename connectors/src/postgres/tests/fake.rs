//! A server that follows a script: it greets, names whom it is told to, and then says what the test wants.

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::super::transport::Transport;
use super::super::{AuthMode, Config, Postgres};
use super::source;

/// What the server answers.
#[derive(Clone)]
pub(super) struct Script {
    /// `session_user` and `current_user`.
    pub(super) serves: [&'static str; 2],
    /// Said to the first statement.
    pub(super) answer: Vec<u8>,
    /// Whether it then hangs up.
    pub(super) hangs_up: bool,
}

/// A source whose server follows the script, in mode `impersonate`.
pub(super) fn source_of(script: Script, config: Config) -> Postgres {
    let config = Config {
        database: "d".to_owned(),
        user: Some("service".to_owned()),
        auth_mode: AuthMode::Impersonate,
        row_bytes_max: 1 << 20,
        ..config
    };
    let open = move || {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        tokio::spawn(serve(theirs, script.clone()));
        ours
    };
    Postgres::on(source(), config, Transport::Fake(Box::new(open)))
}

/// A frame.
pub(super) fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![tag];
    frame.put_u32(u32::try_from(body.len()).unwrap() + 4);
    frame.extend_from_slice(body);
    frame
}

/// A DataRow of these texts.
pub(super) fn row(values: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_u16(u16::try_from(values.len()).unwrap());
    for value in values {
        body.put_u32(u32::try_from(value.len()).unwrap());
        body.extend_from_slice(value.as_bytes());
    }
    frame(b'D', &body)
}

/// An ErrorResponse.
pub(super) fn error(severity: &str, code: &str, message: &str) -> Vec<u8> {
    frame(b'E', format!("S{severity}\0V{severity}\0C{code}\0M{message}\0P7\0\0").as_bytes())
}

/// ReadyForQuery.
pub(super) fn ready(status: u8) -> Vec<u8> {
    frame(b'Z', &[status])
}

async fn serve(mut client: DuplexStream, script: Script) {
    let length = client.read_u32().await.unwrap();
    client.read_exact(&mut vec![0; length as usize - 4]).await.unwrap();
    let greeting = [
        frame(b'R', &[0; 4]),
        frame(b'S', b"server_version\x0015.0\0"),
        frame(b'K', &[0, 0, 0, 7, 0, 0, 0, 9]),
        ready(b'I'),
    ];
    client.write_all(&greeting.concat()).await.unwrap();
    // The source's own timeouts: none are shorter.
    read_to_sync(&mut client).await;
    let timeouts = [frame(b'1', &[]), frame(b'2', &[]), frame(b'C', b"SELECT 0\0"), ready(b'I')];
    client.write_all(&timeouts.concat()).await.unwrap();
    // Role, settings and witness come in one write, which ends with Sync.
    read_to_sync(&mut client).await;
    let [session_user, current_user] = script.serves;
    let setup = [
        frame(b'1', &[]),
        frame(b'2', &[]),
        frame(b'C', b"SET\0"),
        frame(b'C', b"SELECT 1\0"),
        row(&[session_user, current_user, "off"]),
        frame(b'C', b"SELECT 1\0"),
        ready(b'I'),
    ];
    client.write_all(&setup.concat()).await.unwrap();
    read_to_sync(&mut client).await;
    let _ = client.write_all(&script.answer).await;
    if !script.hangs_up {
        let _ = client.read_to_end(&mut Vec::new()).await;
    }
}

async fn read_to_sync(client: &mut DuplexStream) {
    loop {
        let mut header = BytesMut::zeroed(5);
        if client.read_exact(&mut header).await.is_err() {
            return;
        }
        let length = u32::from_be_bytes(header[1..5].try_into().unwrap());
        client.read_exact(&mut vec![0; length as usize - 4]).await.unwrap();
        if header[0] == b'S' {
            return;
        }
    }
}
