//! One question to one broker, by a connection of its own: for tests, where a few a second are many.
//!
//! What a response means is the asker's. Nothing is asked twice.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
};

use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ApiKey,
        CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
        DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
        ElectLeadersRequest, ElectLeadersResponse, IncrementalAlterConfigsRequest,
        IncrementalAlterConfigsResponse, MetadataRequest, MetadataResponse, RequestHeader, ResponseHeader,
    },
    protocol::{Decodable, Encodable, HeaderVersion, StrBytes, encode_request_header_into_buffer},
};

use crate::PATIENCE;

/// A request and what answers it. The crate has such a trait for those alone who have its code for brokers too.
pub(super) trait Question: Encodable {
    const KEY: ApiKey;
    type Answer: Decodable + HeaderVersion;
}

macro_rules! questions {
    ($($key:ident: $request:ident => $response:ident,)*) => {
        $(impl Question for $request {
            const KEY: ApiKey = ApiKey::$key;
            type Answer = $response;
        })*
    };
}

questions! {
    AlterPartitionReassignments: AlterPartitionReassignmentsRequest => AlterPartitionReassignmentsResponse,
    CreatePartitions: CreatePartitionsRequest => CreatePartitionsResponse,
    CreateTopics: CreateTopicsRequest => CreateTopicsResponse,
    DeleteRecords: DeleteRecordsRequest => DeleteRecordsResponse,
    DeleteTopics: DeleteTopicsRequest => DeleteTopicsResponse,
    ElectLeaders: ElectLeadersRequest => ElectLeadersResponse,
    IncrementalAlterConfigs: IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse,
    Metadata: MetadataRequest => MetadataResponse,
}

/// What the broker at the loopback port answers.
///
/// # Errors
/// Whatever keeps the answer away. The request may have been done all the same.
pub(super) fn ask<R: Question>(port: u16, version: i16, request: &R) -> io::Result<R::Answer> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY as i16)
        .with_request_api_version(version)
        .with_client_id(Some(StrBytes::from_static_str("tests")));
    let mut frame = BytesMut::new();
    encode_request_header_into_buffer(&mut frame, &header).expect("the header can be written");
    request.encode(&mut frame, version).expect("the request suits its version");
    let length = u32::try_from(frame.len()).expect("a request is small");

    let mut connection = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.write_all(&[&length.to_be_bytes(), frame.as_ref()].concat())?;
    let mut length = [0; 4];
    connection.read_exact(&mut length)?;
    let mut body = vec![0; usize::try_from(u32::from_be_bytes(length)).expect("32 bits fit")];
    connection.read_exact(&mut body)?;
    let mut body = Bytes::from(body);
    ResponseHeader::decode(&mut body, R::Answer::header_version(version)).map_err(io::Error::other)?;
    R::Answer::decode(&mut body, version).map_err(io::Error::other)
}
