//! Events on their way to Gnocchi.

use super::*;

#[tokio::test]
async fn an_event_ends_its_resource_and_those_that_belong_to_it_at_its_own_time() {
    let server = gnocchi().await;
    let link = "<http://elsewhere/v1/search?marker=d1>; rel=\"next\"";
    let first = ResponseTemplate::new(200).set_body_json(json!([{"id": "d1", "type": "instance_disk"}]));
    let search = "/v1/search/resource/instance_disk";
    let once = Mock::given(path(search)).respond_with(first.insert_header("Link", link)).up_to_n_times(1);
    once.mount(&server).await;
    on(
        &server,
        "POST",
        search,
        ResponseTemplate::new(200).set_body_json(json!([{"id": "d2", "type": "instance_disk"}])),
    )
    .await;
    let batch = Batch::Events(vec![event("compute.instance.delete.start", "a\"#b")]);
    events_publisher(&server, "").publish(&batch).await.unwrap();
    let expected = [
        "POST /v1/search/resource/instance_network_interface",
        "POST /v1/search/resource/instance_disk",
        "POST /v1/search/resource/instance_disk?marker=d1",
        "PATCH /v1/resource/instance/a%22%23b",
        "PATCH /v1/resource/instance_disk/d1",
        "PATCH /v1/resource/instance_disk/d2",
    ];
    assert_eq!(asked(&server).await, expected);
    let requests = server.received_requests().await.unwrap();
    let query: serde_json::Value = requests[0].body_json().unwrap();
    assert_eq!(query, json!({"=": {"instance_id": "a\"#b"}}));
    let ended: serde_json::Value = requests[5].body_json().unwrap();
    assert_eq!(ended, json!({"ended_at": "2020-01-01T00:00:00.000005"}));
}

#[tokio::test]
async fn where_gnocchi_lets_nothing_end_so_early_it_ends_now() {
    let server = gnocchi().await;
    let early = wiremock::matchers::body_string_contains("2020-01-01");
    Mock::given(method("PATCH")).and(early).respond_with(bad_request(json!("no"))).mount(&server).await;
    events_publisher(&server, "").publish(&Batch::Events(vec![event("image.delete", "a")])).await.unwrap();
    assert_eq!(asked(&server).await, ["PATCH /v1/resource/image/a"; 2]);
}

#[tokio::test]
async fn younger_events_of_a_resource_wait_with_the_one_that_is_not_taken() {
    let server = gnocchi().await;
    on(&server, "PATCH", "/v1/resource/image/a", ResponseTemplate::new(500)).await;
    let mut nobody = event("image.delete", "x");
    nobody.traits.clear();
    let all = ["a", "b", "a"].map(|id| event("image.delete", id)).into_iter().chain([nobody]);
    let batch = Batch::Events(all.collect());
    assert_eq!(said(events_publisher(&server, "").publish(&batch).await), (vec![3], vec![0, 2]));
    assert_eq!(asked(&server).await, ["PATCH /v1/resource/image/a", "PATCH /v1/resource/image/b"]);
}

#[tokio::test]
async fn a_search_that_breaks_down_over_an_id_that_is_no_uuid_finds_nothing() {
    let server = gnocchi().await;
    on(&server, "POST", "/v1/search/resource/instance_disk", ResponseTemplate::new(500)).await;
    let kind = json!({"name": "instance_disk", "attributes": {"instance_id": {"type": "uuid"}}});
    on(&server, "GET", "/v1/resource_type/instance_disk", ResponseTemplate::new(200).set_body_json(kind)).await;
    let of = |id: &str| Batch::Events(vec![event("compute.instance.delete.start", id)]);
    let publisher = events_publisher(&server, "");
    publisher.publish(&of("no-uuid")).await.unwrap();
    let error = publisher.publish(&of("0b6ab197-bedc-4275-9378-e655c9e5d32c")).await.unwrap_err();
    assert!(matches!(error, PublishError::Retry { .. }), "{error}");
}

#[tokio::test]
async fn a_resource_whose_id_no_path_can_name_is_found_by_its_id() {
    let server = gnocchi().await;
    let found = ResponseTemplate::new(200).set_body_json(json!([{"id": "uuid", "type": "image"}]));
    on(&server, "POST", "/v1/search/resource/image", found).await;
    events_publisher(&server, "").publish(&Batch::Events(vec![event("image.delete", "..")])).await.unwrap();
    assert_eq!(asked(&server).await, ["POST /v1/search/resource/image", "PATCH /v1/resource/image/uuid"]);
}
