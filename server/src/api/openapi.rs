//! What the OpenAPI document says of many calls at once, where saying it at each handler would be forgotten at one of them.

use gatehouse_domain::{ChecksForm, GatewayPersonForm, IntegrationForm, Permission, ProxyForm, gateway::POLICY_READ_ONLY};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use utoipa::{
    PartialSchema,
    openapi::{
        Content, Header, Object, ObjectBuilder, OpenApi, PathItem, Ref, RefOr, ResponseBuilder, Schema, Type, link::Link,
        path::Operation, response::Response, schema::SchemaType,
    },
};

/// Bodies that take what an answer has besides, by the names of their schemas.
const INPUTS: [(&str, &[&str]); 6] = [
    ("ProxyInput", ProxyForm::READ_ONLY),
    ("IntegrationInput", IntegrationForm::READ_ONLY),
    ("GatewayPersonInput", GatewayPersonForm::READ_ONLY),
    ("ChecksInput", ChecksForm::READ_ONLY),
    ("PolicyInput", POLICY_READ_ONLY),
    ("PersonInput", super::people::READ_ONLY),
];

/// Adds to what the handlers say.
pub(super) fn complete(document: &mut OpenApi) {
    if let Some(components) = &mut document.components {
        for (name, read_only) in INPUTS {
            if let Some(input) = object(components.schemas.get_mut(name)) {
                for field in read_only {
                    input.properties.insert((*field).into(), ignored());
                }
            }
        }
        if let Some(input) = object(components.schemas.get_mut("IntegrationInput"))
            && let Some(kind) = object(input.properties.get_mut("type"))
        {
            kind.enum_values = Some(gatehouse_engines::catalogue().specs().map(|spec| spec.kind.into()).collect());
        }
        for (name, draft) in [("ProxyInput", "ProxyDraft"), ("IntegrationInput", "IntegrationDraft")] {
            let mut schema = components.schemas.get(name).cloned();
            if let Some(input) = object(schema.as_mut()) {
                input.description =
                    Some("Values to test. The name is not needed; other read-only fields than `id` are ignored.".into());
                input.required.retain(|field| field != "name");
                input.properties.insert("id".into(), draft_id());
                if let Some(name) = object(input.properties.get_mut("name")) {
                    (name.min_length, name.max_length) = (None, None);
                }
            }
            components.schemas.extend(schema.map(|schema| (draft.to_string(), schema)));
        }
        if let Some(test) = object(components.schemas.get_mut("DraftTest")) {
            test.properties.insert("proxy".into(), Ref::from_schema_name("ProxyDraft").into());
        }
    }
    if let Some(test) = document.paths.paths.get_mut("/api/v1/integrations/test").and_then(|path| path.post.as_mut())
        && let Some(content) = test.request_body.as_mut().and_then(|body| body.content.get_mut("application/json"))
    {
        content.schema = Some(Ref::from_schema_name("IntegrationDraft").into());
    }
    for path in document.paths.paths.values_mut() {
        for (method, operation) in operations(path) {
            answers(&method, operation);
            let example = operation.operation_id.as_deref().and_then(example);
            if let Some(content) = operation.request_body.as_mut().and_then(|body| body.content.get_mut("application/json")) {
                content.example = example;
            }
        }
    }
    links(document);
}

/// An object's schema.
fn object(schema: Option<&mut RefOr<Schema>>) -> Option<&mut Object> {
    match schema {
        Some(RefOr::T(Schema::Object(object))) => Some(object),
        _ => None,
    }
}

/// Not `readOnly`: that would say that sending it is a mistake.
fn ignored() -> RefOr<Schema> {
    Schema::from(ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(Some("Read-only: accepted and ignored.")))
        .into()
}

fn draft_id() -> RefOr<Schema> {
    let types = SchemaType::from_iter([Type::String, Type::Null]);
    let what = "The saved one whose values these are: its secrets are used where none are given.";
    Schema::from(ObjectBuilder::new().schema_type(types).description(Some(what))).into()
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    [
        (Method::GET, path.get.as_mut()),
        (Method::PUT, path.put.as_mut()),
        (Method::POST, path.post.as_mut()),
        (Method::DELETE, path.delete.as_mut()),
        (Method::PATCH, path.patch.as_mut()),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation?)))
}

/// The answers that layers around the handlers give, and those that every use case may.
fn answers(method: &Method, operation: &mut Operation) {
    let permission = permission(operation);
    let extensions = utoipa::openapi::extensions::Extensions::builder().add("x-permission", permission.as_str()).build();
    operation.extensions = Some(extensions);
    let mut may_be = vec![
        (StatusCode::INTERNAL_SERVER_ERROR, "`internal`: a defect; the log says more under the reference in `detail`"),
        (StatusCode::SERVICE_UNAVAILABLE, "`unavailable`: the database does not answer"),
    ];
    if permission.roles().len() < 4 {
        may_be.push((StatusCode::FORBIDDEN, "`forbidden`: the role does not allow it"));
    }
    if *method != Method::GET {
        may_be.push((StatusCode::FORBIDDEN, "`foreign_origin`: a page of another site has sent this"));
    }
    if operation.request_body.is_some() {
        may_be.push((StatusCode::BAD_REQUEST, "Not JSON"));
        may_be.push((StatusCode::PAYLOAD_TOO_LARGE, "More than 1 MiB"));
    }
    for (status, description) in may_be {
        let said = operation.responses.responses.entry(status.as_str().to_string());
        said.or_insert_with(|| RefOr::T(problem(status, description)));
    }
}

/// What whoever calls must be allowed. A call that is not in the table of permissions must not be: neither the document nor the router
/// comes into being with it, so no test passes and no server starts.
fn permission(operation: &Operation) -> Permission {
    let id = operation.operation_id.as_deref().unwrap_or_default();
    match gatehouse_domain::Operation::find(id) {
        Some(operation) => operation.permission(),
        None => panic!("the call '{id}' of the API is not in the table of permissions (crates/domain/src/permission.rs)"),
    }
}

fn problem(status: StatusCode, description: &str) -> Response {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    let answer = ResponseBuilder::new().description(description).content("application/problem+json", content);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let mut wait = Header::new(u64::schema());
        wait.description = Some("Seconds to wait".into());
        return answer.header("Retry-After", wait).build();
    }
    answer.build()
}

/// A body that is right. Names are reserved ones (RFC 6761): whoever sends it as it is reaches nobody.
fn example(operation: &str) -> Option<Value> {
    let policy =
        "[[rule]]\nname = 'no advertising'\nto = ['.ads.example']\naction = 'deny'\n\n[[rule]]\nname = 'all'\naction = 'allow'\n";
    Some(match operation {
        "signIn" => json!({"email": "anna@example.com", "password": "correct horse battery"}),
        "createToken" => json!({"name": "Nightly export"}),
        "createProxy" | "replaceProxy" => json!({
            "name": "Corp-EU", "host": "proxy.example", "port": 3128, "scheme": "http", "authentication": "basic",
            "username": "gatehouse", "password": "correct horse battery", "bypass": ["*.corp.example", "10.0.0.0/8"],
        }),
        "testProxyDraft" => json!({"proxy": {"host": "proxy.example", "port": 3128}, "target": "https://www.example/"}),
        "testProxy" => json!({"target": "https://www.example/"}),
        "createIntegration" | "replaceIntegration" | "testIntegrationDraft" => json!({
            "name": "Own intelligence", "type": "custom_http", "api_url": "https://intelligence.example/v1", "api_key": "0123456789",
            "proxy": {"choice": "default"}, "capabilities": {"url": true, "sender_ip": true}, "tags": ["own"],
        }),
        "changePassword" => json!({"current_password": "correct horse battery", "new_password": "battery horse correct"}),
        "beginSecondFactor" | "removeSecondFactor" => json!({"password": "correct horse battery"}),
        "confirmSecondFactor" => json!({"code": "123456"}),
        "acceptInvitation" => json!({"secret": "from-the-link", "name": "Bob Miller", "password": "correct horse battery"}),
        "createInvitation" => json!({"email": "bob@example.com", "role": "auditor"}),
        "inviteFirstAdministrator" => json!({"email": "owner@customer.example"}),
        "replacePerson" => json!({"name": "Bob Miller", "role": "auditor"}),
        "createCompany" => json!({"name": "Customer"}),
        "startAnalysis" => json!({"url": "https://www.example/login"}),
        "setChecks" => json!({
            "every_minutes": 60, "webhook_url": "https://hooks.example/gatehouse", "webhook_proxy": {"choice": "default"},
        }),
        "replaceGatewayPolicy" | "checkGatewayPolicy" => json!({"text": policy}),
        "explainGatewayPolicy" => json!({"url": "https://www.ads.example", "client": "10.0.0.7"}),
        "createGatewayPerson" | "replaceGatewayPerson" => {
            json!({"name": "anna", "password": "correct horse battery", "groups": ["sales"]})
        }
        _ => return None,
    })
}

/// What was made can be got, replaced, tested, deleted: where a call answers 201, links (OpenAPI 3.1, 4.8.20) lead to all that is
/// below it.
fn links(document: &mut OpenApi) {
    let mut below = Vec::new();
    for (path, item) in &mut document.paths.paths {
        if let Some((list, _)) = path.split_once("/{id}") {
            let list = list.to_string();
            below.extend(operations(item).filter_map(|(_, operation)| Some((list.clone(), operation.operation_id.clone()?))));
        }
    }
    for (path, item) in &mut document.paths.paths {
        let list = path.split_once("/{id}").map_or(path.as_str(), |(list, _)| list).to_string();
        for (_, operation) in operations(item) {
            for (status, response) in &mut operation.responses.responses {
                let RefOr::T(response) = response else { continue };
                if !matches!(status.as_str(), "201" | "202") {
                    continue;
                }
                for (_, target) in below.iter().filter(|(of, _)| *of == list) {
                    let link = Link::builder().operation_id(target).parameter("id", "$response.body#/id").build();
                    response.links.insert(target.clone(), RefOr::T(link));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        serde_json::from_str(crate::api::openapi_json()).expect("JSON")
    }

    /// `Socks5h` stood there once where `socks5h` is meant: whoever believed the document was refused.
    #[test]
    fn names_are_those_on_the_wire() {
        let document = document();
        let mut enums = 0;
        for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
            for value in schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                enums += 1;
                assert!(
                    value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                    "{name}: {value} is not a name of the API"
                );
            }
        }
        assert!(enums > 30);
        assert_eq!(document["components"]["schemas"]["Scheme"]["enum"], json!(["http", "https", "socks5", "socks5h"]));
    }

    #[test]
    fn examples_are_right() {
        let examples: Vec<_> = document()["paths"]
            .as_object()
            .expect("paths")
            .values()
            .flat_map(|operations| operations.as_object().expect("operations").values().cloned().collect::<Vec<_>>())
            .filter_map(|operation| {
                let body = operation.get("requestBody")?;
                Some((operation["operationId"].as_str()?.to_string(), body["content"]["application/json"]["example"].clone()))
            })
            .collect();
        for (operation, example) in &examples {
            assert_eq!(example.is_null(), operation == "testIntegration", "{operation}");
        }
        let of = |name: &str| &examples.iter().find(|(operation, _)| operation == name).expect("an example").1;
        ProxyForm::from_json(of("createProxy")).expect("typed").parse(false).expect("right");
        IntegrationForm::from_json(of("createIntegration")).expect("typed");
        GatewayPersonForm::from_json(of("createGatewayPerson")).expect("typed").parse(false).expect("right");
        ChecksForm::from_json(of("setChecks")).expect("typed").parse().expect("right");
    }

    #[test]
    fn every_call_says_what_the_layers_around_it_answer() {
        let document = document();
        for (path, operations) in document["paths"].as_object().expect("paths") {
            for (method, operation) in operations.as_object().expect("operations") {
                let mut expected = vec!["500", "503"];
                if method != "get" {
                    expected.push("403");
                }
                if operation.get("requestBody").is_some() {
                    expected.extend(["400", "413"]);
                }
                if path.contains("/{id}") {
                    expected.push("404");
                }
                for status in expected {
                    assert!(operation["responses"].get(status).is_some(), "{method} {path} does not say {status}");
                }
            }
        }
        let links = &document["paths"]["/api/v1/proxies"]["post"]["responses"]["201"]["links"];
        assert_eq!(links["getProxy"], json!({"operationId": "getProxy", "parameters": {"id": "$response.body#/id"}}));
        let draft = &document["components"]["schemas"]["ProxyDraft"];
        assert_eq!((&draft["required"], &draft["additionalProperties"]), (&json!(["host", "port"]), &Value::Bool(false)));
    }
}
