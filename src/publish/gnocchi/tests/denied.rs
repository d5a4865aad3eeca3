//! A 403, or a 404 of somebody else: about one resource, or about everything.

use super::*;

/// Denies what concerns these resources (all of them: `""`), whatever is asked; a 403 names none, as with Gnocchi 4.4.
struct Denies(&'static str);

impl wiremock::Match for Denies {
    fn matches(&self, request: &Request) -> bool {
        let said = format!("{} {}", request.url.path(), String::from_utf8_lossy(&request.body));
        !request.url.path().contains("archive_policy") && said.contains(self.0)
    }
}

fn forbidden() -> ResponseTemplate {
    let body = json!({"code": 403, "title": "Forbidden", "description": "Access was denied to this resource."});
    ResponseTemplate::new(403).set_body_json(body)
}

async fn denies(server: &MockServer, id: &'static str, answer: ResponseTemplate) {
    Mock::given(Denies(id)).respond_with(answer).with_priority(1).mount(server).await;
}

#[tokio::test]
async fn measures_of_a_resource_of_somebody_else_are_parked_and_the_others_are_taken_in_order() {
    let server = gnocchi().await;
    denies(&server, "foreign", forbidden()).await;
    let mut batch: Vec<Sample> = (0..10).map(|n| volume(&format!("r{n}"), n)).collect();
    batch.extend([volume("foreign", 20), volume("foreign", 21), volume("z", 22)]);
    let result = publisher(&server, "").publish(&samples(&batch)).await;
    let Err(PublishError::Partly(Partly { refused, left: None })) = &result else { panic!("{result:?}") };
    assert!(refused[0].cause.contains("nephoscope parked requeue"), "{}", refused[0].cause);
    assert_eq!(said(result), (vec![10, 11], vec![]));
    let all = measures(&server).await;
    let taken: Vec<i64> = all.iter().filter(|body| !body.to_string().contains("foreign")).flat_map(values).collect();
    assert_eq!(taken, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 22]);
    assert!(all.len() < 13, "{} requests", all.len());
}

#[tokio::test]
async fn where_all_is_forbidden_all_is_held_after_a_few_requests_and_it_is_said_what_to_do() {
    let server = gnocchi().await;
    denies(&server, "", forbidden()).await;
    let batch: Vec<Sample> = (0..256).map(|n| volume(&format!("r{n:03}"), n)).collect();
    let error = publisher(&server, "").publish(&samples(&batch)).await.unwrap_err();
    let PublishError::Retry { cause, .. } = error else { panic!("{error:?}") };
    let advice =
        format!("Gnocchi at http://{}/ gives the user of [service_credentials] no right to this", server.address());
    assert!(cause.starts_with("403 Forbidden") && cause.contains(&advice), "{cause}");
    assert!(asked(&server).await.len() < 30, "{:?}", asked(&server).await);
}

/// The user has lost its right meanwhile, or the second resource is of somebody else.
#[rstest]
#[case::of_one("foreign", vec![0], vec![])]
#[case::of_all("", vec![], vec![0])]
#[tokio::test]
async fn a_lone_denial_is_understood_by_a_resource_that_could_be_written_before(
    #[case] denied: &'static str,
    #[case] refused: Vec<usize>,
    #[case] left: Vec<usize>,
    #[values(false, true)] is_event: bool,
) {
    let server = gnocchi().await;
    let (publisher, of): (_, fn(&str) -> Batch) = if is_event {
        (events_publisher(&server, ""), |id| Batch::Events(vec![event("image.delete", id)]))
    } else {
        (publisher(&server, ""), |id| samples(&[volume(id, 1)]))
    };
    publisher.publish(&of("mine")).await.unwrap();
    denies(&server, denied, forbidden()).await;
    let result = publisher.publish(&of("foreign")).await;
    match result {
        Err(PublishError::Retry { .. }) => assert_eq!(left, [0]),
        other => assert_eq!(said(other), (refused, left)),
    }
    assert_eq!(asked(&server).await.last().unwrap(), "PATCH /v1/resource/generic/mine");
}

#[rstest]
#[case::forbidden(forbidden())]
#[case::not_found_says_a_proxy(ResponseTemplate::new(404).set_body_string("<html>nothing here</html>"))]
#[tokio::test]
async fn an_event_of_a_denied_resource_is_parked_and_its_younger_one_is_offered_again(
    #[case] answer: ResponseTemplate,
) {
    let server = gnocchi().await;
    denies(&server, "foreign", answer).await;
    let all = ["foreign", "foreign", "b"].map(|id| event("image.delete", id));
    let result = events_publisher(&server, "").publish(&Batch::Events(all.to_vec())).await;
    assert_eq!(said(result), (vec![0], vec![1]));
}

#[tokio::test]
async fn events_wait_where_everything_is_not_found_by_somebody_who_is_not_gnocchi() {
    let server = gnocchi().await;
    denies(&server, "", ResponseTemplate::new(404).set_body_string("<html>nothing here</html>")).await;
    let all = (0..20).map(|n| event("image.delete", &format!("r{n}"))).collect();
    let error = events_publisher(&server, "").publish(&Batch::Events(all)).await.unwrap_err();
    let PublishError::Retry { cause, .. } = error else { panic!("{error:?}") };
    assert!(cause.contains(&format!("what answers at http://{}/ is not Gnocchi's API", server.address())), "{cause}");
    assert_eq!(asked(&server).await.len(), 8);
}

#[tokio::test]
async fn attributes_that_are_forbidden_hold_no_measures() {
    let server = gnocchi().await;
    on(&server, "PATCH", "/v1/resource/volume/a", forbidden()).await;
    let publisher = publisher(&server, "");
    for _ in 0..2 {
        assert_eq!(said(publisher.publish(&samples(&[volume("a", 1), volume("b", 1)])).await), (vec![], vec![]));
    }
    let patches = asked(&server).await.iter().filter(|line| line.ends_with("volume/a")).count();
    assert_eq!(patches, 2, "they are sent again with the next sample");
}

fn no_type(name: &str) -> ResponseTemplate {
    let description = format!("Resource type {name} does not exist");
    let body = json!({"code": 404, "title": "Not Found", "description": description});
    ResponseTemplate::new(404).set_body_json(body)
}

#[tokio::test]
async fn samples_wait_for_a_resource_type_that_is_not_there_and_the_others_are_taken() {
    let server = gnocchi().await;
    on(&server, "POST", MEASURES, unknown(&["a", "b"])).await;
    let once = Mock::given(method("POST")).and(path("/v1/resource/volume")).respond_with(no_type("volume"));
    once.up_to_n_times(1).mount(&server).await;
    let mut cpu = volume("i", 1);
    cpu.name = "cpu".into();
    let publisher = publisher(&server, "");
    let result = publisher.publish(&samples(&[volume("a", 1), cpu, volume("b", 1), volume("a", 2)])).await;
    let Err(PublishError::Partly(Partly { refused, left: Some(left) })) = result else { panic!("{result:?}") };
    assert_eq!((refused, &*left.records), (vec![], &[0, 2, 3][..]));
    assert!(left.cause.contains("no resource type volume; run `nephoscope gnocchi-setup`"), "{}", left.cause);
    let creations = asked(&server).await.iter().filter(|line| *line == "POST /v1/resource/volume").count();
    assert_eq!(creations, 1);
    publisher.publish(&samples(&[volume("a", 1), volume("b", 1), volume("a", 2)])).await.unwrap();
}

#[rstest]
#[case::creation("compute.instance.create.end", vec![0])]
#[case::end("compute.instance.delete.start", vec![])]
#[tokio::test]
async fn an_event_waits_for_a_resource_type_only_if_it_creates(#[case] event_type: &str, #[case] left: Vec<usize>) {
    let server = gnocchi().await;
    for (verb, at) in [("POST", "/v1/resource/instance"), ("PATCH", "/v1/resource/instance/a")] {
        on(&server, verb, at, no_type("instance")).await;
    }
    let batch = Batch::Events(vec![event(event_type, "a"), event("image.delete", "b")]);
    assert_eq!(said(events_publisher(&server, "").publish(&batch).await), (vec![], left));
}
