//! Messages the server sends, written by pgwire's codec.

use bytes::{BufMut, Bytes, BytesMut};
use pgwire::messages::PgWireBackendMessage as Pgwire;
use pgwire::messages::data::{DataRow, FieldDescription, NoData, ParameterDescription, RowDescription};
use pgwire::messages::extendedquery::{BindComplete, CloseComplete, ParseComplete, PortalSuspended};
use pgwire::messages::response::{
    CommandComplete, EmptyQueryResponse, ErrorResponse, NoticeResponse, ReadyForQuery, TransactionStatus as Status,
};
use pgwire::messages::startup::{Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey};

use crate::startup::Negotiation;

/// A message to the client. What a source sent as frames is relayed as it is and never passes through here.
#[derive(Clone, Debug)]
pub enum Backend<'a> {
    /// AuthenticationOk.
    AuthenticationOk,
    /// AuthenticationCleartextPassword.
    AuthenticationCleartextPassword,
    /// AuthenticationSASL with these mechanisms.
    AuthenticationSasl(&'a [String]),
    /// AuthenticationSASLContinue.
    AuthenticationSaslContinue(Bytes),
    /// AuthenticationSASLFinal.
    AuthenticationSaslFinal(Bytes),
    /// NegotiateProtocolVersion.
    NegotiateProtocolVersion(&'a Negotiation),
    /// ParameterStatus.
    ParameterStatus {
        /// Name.
        name: &'a str,
        /// Value.
        value: &'a str,
    },
    /// BackendKeyData.
    BackendKeyData {
        /// The process id to cancel by.
        process_id: i32,
        /// The key that goes with it.
        key: Bytes,
    },
    /// ReadyForQuery.
    ReadyForQuery(TransactionStatus),
    /// ParseComplete.
    ParseComplete,
    /// BindComplete.
    BindComplete,
    /// CloseComplete.
    CloseComplete,
    /// NoData.
    NoData,
    /// PortalSuspended.
    PortalSuspended,
    /// EmptyQueryResponse.
    EmptyQueryResponse,
    /// ParameterDescription.
    ParameterDescription(&'a [u32]),
    /// RowDescription of columns of type `text`, of the gateway's own making.
    TextColumns(&'a [&'a str]),
    /// DataRow of texts, of the gateway's own making.
    TextRow(&'a [&'a str]),
    /// RowDescription of columns of these types, of the gateway's own making.
    Columns(&'a [Column<'a>]),
    /// DataRow of values in the formats that their columns were described with; `None` is NULL.
    Row(&'a [Option<Bytes>]),
    /// CommandComplete.
    CommandComplete(&'a str),
    /// ErrorResponse.
    Error(ErrorFields<'a>),
    /// NoticeResponse.
    Notice(ErrorFields<'a>),
}

/// A column of the gateway's own making.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column<'a> {
    /// Its name.
    pub name: &'a str,
    /// The oid of its type.
    pub type_oid: u32,
    /// The size of its type in bytes; -1 where it varies.
    pub type_size: i16,
    /// 0 for text, 1 for binary.
    pub format: i16,
}

impl<'a> Column<'a> {
    /// A column of texts, which are the same bytes in either format.
    pub fn text(name: &'a str, format: i16) -> Self {
        Self { name, type_oid: TEXT, type_size: -1, format }
    }
}

/// The fields of an error or a notice.
/// Source: <https://www.postgresql.org/docs/current/protocol-error-fields.html>.
#[derive(Clone, Copy, Debug, Default)]
pub struct ErrorFields<'a> {
    /// `ERROR`, `FATAL`, `WARNING`, ...
    pub severity: &'a str,
    /// SQLSTATE.
    pub code: &'a str,
    /// Message.
    pub message: &'a str,
    /// Detail.
    pub detail: Option<&'a str>,
    /// Hint.
    pub hint: Option<&'a str>,
    /// Which character of the client's text it is about, from 1.
    pub position: Option<u32>,
}

/// Where the session stands, as ReadyForQuery tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// Not in a transaction.
    Idle,
    /// In a transaction.
    Open,
    /// In a failed transaction.
    Failed,
}

/// A message that a client would not read: libpq takes 30,000 bytes for most kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message is too long for a client")]
pub struct TooLong;

/// The oid of `text`.
const TEXT: u32 = 25;

impl Backend<'_> {
    /// Appends the message to `out`; on an error nothing is appended.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), TooLong> {
        let before = out.len();
        self.to_pgwire().encode(out).map_err(|_| {
            out.truncate(before);
            TooLong
        })
    }

    fn to_pgwire(&self) -> Pgwire {
        match self {
            Self::AuthenticationOk => Pgwire::Authentication(Authentication::Ok),
            Self::AuthenticationCleartextPassword => Pgwire::Authentication(Authentication::CleartextPassword),
            Self::AuthenticationSasl(mechanisms) => Pgwire::Authentication(Authentication::SASL(mechanisms.to_vec())),
            Self::AuthenticationSaslContinue(data) => {
                Pgwire::Authentication(Authentication::SASLContinue(data.clone()))
            }
            Self::AuthenticationSaslFinal(data) => Pgwire::Authentication(Authentication::SASLFinal(data.clone())),
            Self::NegotiateProtocolVersion(settled) => Pgwire::NegotiateProtocolVersion(NegotiateProtocolVersion::new(
                settled.version.number(),
                settled.unknown_options.clone(),
            )),
            Self::ParameterStatus { name, value } => {
                Pgwire::ParameterStatus(ParameterStatus::new(text(name), text(value)))
            }
            Self::BackendKeyData { process_id, key } => {
                Pgwire::BackendKeyData(BackendKeyData::new(*process_id, SecretKey::Bytes(key.clone())))
            }
            Self::ReadyForQuery(status) => Pgwire::ReadyForQuery(ReadyForQuery::new(match status {
                TransactionStatus::Idle => Status::Idle,
                TransactionStatus::Open => Status::Transaction,
                TransactionStatus::Failed => Status::Error,
            })),
            Self::ParseComplete => Pgwire::ParseComplete(ParseComplete::new()),
            Self::BindComplete => Pgwire::BindComplete(BindComplete::new()),
            Self::CloseComplete => Pgwire::CloseComplete(CloseComplete::new()),
            Self::NoData => Pgwire::NoData(NoData::new()),
            Self::PortalSuspended => Pgwire::PortalSuspended(PortalSuspended::new()),
            Self::EmptyQueryResponse => Pgwire::EmptyQueryResponse(EmptyQueryResponse::new()),
            Self::ParameterDescription(types) => {
                Pgwire::ParameterDescription(ParameterDescription::new(types.to_vec()))
            }
            Self::TextColumns(names) => Pgwire::RowDescription(RowDescription::new(
                names.iter().map(|name| FieldDescription::new(text(name), 0, 0, TEXT, -1, -1, 0)).collect(),
            )),
            Self::TextRow(values) => Pgwire::DataRow(text_row(values)),
            Self::Columns(columns) => Pgwire::RowDescription(RowDescription::new(
                columns
                    .iter()
                    .map(|Column { name, type_oid, type_size, format }| {
                        FieldDescription::new(text(name), 0, 0, *type_oid, *type_size, -1, *format)
                    })
                    .collect(),
            )),
            Self::Row(values) => Pgwire::DataRow(row(values)),
            Self::CommandComplete(tag) => Pgwire::CommandComplete(CommandComplete::new(text(tag))),
            Self::Error(fields) => Pgwire::ErrorResponse(ErrorResponse::new(fields.list())),
            Self::Notice(fields) => Pgwire::NoticeResponse(NoticeResponse::new(fields.list())),
        }
    }
}

impl ErrorFields<'_> {
    fn list(&self) -> Vec<(u8, String)> {
        // `V` is the severity that is never translated; libpq has read it since 9.6.
        let mut list = vec![
            (b'S', text(self.severity)),
            (b'V', text(self.severity)),
            (b'C', text(self.code)),
            (b'M', text(self.message)),
        ];
        list.extend(self.detail.map(|detail| (b'D', text(detail))));
        list.extend(self.hint.map(|hint| (b'H', text(hint))));
        list.extend(self.position.map(|position| (b'P', position.to_string())));
        list
    }
}

/// A zero would end the string and start the next field: what a rule's author wrote must not be read as protocol.
fn text(text: &str) -> String {
    text.replace('\0', "")
}

fn text_row(values: &[&str]) -> DataRow {
    let mut data = BytesMut::new();
    for value in values {
        data.put_u32(u32::try_from(value.len()).unwrap_or(0));
        data.put(value.as_bytes());
    }
    DataRow::new(data, i16::try_from(values.len()).unwrap_or(0))
}

fn row(values: &[Option<Bytes>]) -> DataRow {
    let mut data = BytesMut::new();
    for value in values {
        match value {
            Some(value) => {
                data.put_u32(u32::try_from(value.len()).unwrap_or(0));
                data.put(&value[..]);
            }
            None => data.put_i32(-1),
        }
    }
    DataRow::new(data, i16::try_from(values.len()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(message: &Backend<'_>) -> Vec<u8> {
        let mut out = BytesMut::new();
        message.encode(&mut out).unwrap();
        out.to_vec()
    }

    #[test]
    fn messages_are_as_the_protocol_lays_them_out() {
        assert_eq!(bytes(&Backend::AuthenticationOk), b"R\0\0\0\x08\0\0\0\0");
        assert_eq!(bytes(&Backend::ReadyForQuery(TransactionStatus::Failed)), b"Z\0\0\0\x05E");
        assert_eq!(bytes(&Backend::CommandComplete("SELECT 1")), b"C\0\0\0\x0dSELECT 1\0");
        assert_eq!(bytes(&Backend::TextRow(&["on"])), b"D\0\0\0\x0c\0\x01\0\0\0\x02on");
        assert_eq!(
            bytes(&Backend::Row(&[None, Some(Bytes::from_static(b"x"))])),
            b"D\0\0\0\x0f\0\x02\xff\xff\xff\xff\0\0\0\x01x"
        );
        let columns = [Column { name: "n", type_oid: 20, type_size: 8, format: 1 }];
        let expected = b"T\0\0\0\x1a\0\x01n\0\0\0\0\0\0\0\0\0\0\x14\0\x08\xff\xff\xff\xff\0\x01";
        assert_eq!(bytes(&Backend::Columns(&columns)), expected);
        let key = Backend::BackendKeyData { process_id: 1, key: Bytes::from_static(&[9; 4]) };
        assert_eq!(bytes(&key), b"K\0\0\0\x0c\0\0\0\x01\x09\x09\x09\x09");
    }

    #[test]
    fn a_zero_in_a_text_cannot_start_another_field() {
        let fields = ErrorFields { severity: "ERROR", code: "42501", message: "no\0Cxx", ..ErrorFields::default() };
        let sent = bytes(&Backend::Error(fields));
        assert_eq!(&sent[5..], b"SERROR\0VERROR\0C42501\0MnoCxx\0\0");
    }

    #[test]
    fn what_a_client_would_not_read_is_not_sent() {
        let mut out = BytesMut::from(&b"before"[..]);
        let long = "x".repeat(40_000);
        assert_eq!(Backend::CommandComplete(&long).encode(&mut out), Err(TooLong));
        assert_eq!(&out[..], b"before");
    }
}
