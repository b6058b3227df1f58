//! Whether a topic keeps what was written to it until it is old, or only the last record of each key.

use kafka_protocol::{
    error::ResponseError,
    messages::{
        ApiKey, DescribeConfigsRequest, DescribeConfigsResponse,
        describe_configs_request::DescribeConfigsResource,
    },
    protocol::{StrBytes, VersionRange},
};

use super::{
    connection::{Connection, Request},
    fault::Fault,
};

/// All that there are.
const VERSIONS: VersionRange = VersionRange { min: 1, max: 4 };
/// A resource that is a topic.
const TOPIC: i8 = 2;
const SETTING: &str = "cleanup.policy";

impl Request for DescribeConfigsRequest {
    const KEY: ApiKey = ApiKey::DescribeConfigs;
    type Response = DescribeConfigsResponse;
}

/// Whether a topic is compacted; `None` when this user may not know.
///
/// # Errors
/// `Refused` for a topic that is not there; those of the connection.
pub(super) fn is_compacted(connection: &mut Connection, topic: &str) -> Result<Option<bool>, Fault> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(StrBytes::from_string(topic.to_owned()))
        .with_configuration_keys(Some(vec![StrBytes::from_static_str(SETTING)]));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let response = connection.call(&request, VERSIONS)?;
    let Some(result) = response.results.first() else { return Ok(None) };
    match ResponseError::try_from_code(result.error_code) {
        None => {}
        Some(ResponseError::TopicAuthorizationFailed | ResponseError::ClusterAuthorizationFailed) => {
            return Ok(None);
        }
        Some(code) => {
            let what = format!("the settings of topic {topic}");
            return Err(Fault::Refused { place: connection.place().to_owned(), what, code });
        }
    }
    let value = result.configs.iter().find(|it| &*it.name == SETTING).and_then(|it| it.value.as_ref());
    Ok(value.map(|value| value.split(',').any(|policy| policy.trim() == "compact")))
}
