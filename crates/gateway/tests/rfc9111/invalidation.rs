//! Section 4.4: what changes a resource makes what is stored of it worthless.

use crate::{
    stage::Answer,
    table::{Case, answer, asks, either, fails, hit, nothing, ok, run},
};

fn fresh() -> Answer {
    ok("Cache-Control: max-age=600")
}

/// The method, and the names of its cases: for 200, 204, 303, 404, 503.
const UNSAFE: [(&str, [&str; 5]); 6] = [
    ("POST", ["s4_4_post_200", "s4_4_post_204", "s4_4_post_303", "s4_4_post_404_does_not", "s4_4_post_503_does_not"]),
    ("PUT", ["s4_4_put_200", "s4_4_put_204", "s4_4_put_303", "s4_4_put_404_does_not", "s4_4_put_503_does_not"]),
    ("DELETE", ["s4_4_delete_200", "s4_4_delete_204", "s4_4_delete_303", "s4_4_delete_404_does_not", "s4_4_delete_503_does_not"]),
    ("PATCH", ["s4_4_patch_200", "s4_4_patch_204", "s4_4_patch_303", "s4_4_patch_404_does_not", "s4_4_patch_503_does_not"]),
    (
        "M-SEARCH",
        [
            "s4_4_m_search_200",
            "s4_4_m_search_204",
            "s4_4_m_search_303",
            "s4_4_m_search_404_does_not",
            "s4_4_m_search_503_does_not",
        ],
    ),
    ("FROB", ["s4_4_frob_200", "s4_4_frob_204", "s4_4_frob_303", "s4_4_frob_404_does_not", "s4_4_frob_503_does_not"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn section_4_4_invalidation() {
    let mut cases: Vec<Case> = Vec::new();
    for (method, names) in UNSAFE {
        for (name, status) in names.into_iter().zip([200, 204, 303, 404, 503]) {
            let changed = asks(answer(status, "")).method(method).content("a");
            let last = if status < 400 { asks(fresh()) } else { hit(0) };
            cases.push((name, vec![asks(fresh()), hit(0), changed, last]));
        }
    }
    let post = |fields: &str| asks(answer(200, fields)).method("POST").content("a");
    cases.extend([
        ("s4_4_201_of_a_post", vec![asks(fresh()), asks(answer(201, "")).method("POST").content("a"), asks(fresh())]),
        ("s4_4_301_of_a_post", vec![asks(fresh()), asks(answer(301, "Location: /")).method("POST").content("a"), asks(fresh())]),
        ("s4_4_unknown_299_of_a_post", vec![asks(fresh()), asks(answer(299, "")).method("POST").content("a"), asks(fresh())]),
        ("s4_4_400_of_a_post_does_not", vec![asks(fresh()), asks(answer(400, "")).method("POST").content("a"), hit(0)]),
        ("s4_4_500_of_a_put_does_not", vec![asks(fresh()), asks(answer(500, "")).method("PUT").content("a"), hit(0)]),
        ("s4_4_a_post_without_content", vec![asks(fresh()), asks(ok("")).method("POST"), asks(fresh())]),
        (
            "s4_4_a_post_without_an_answer_may",
            vec![asks(fresh()), fails(nothing()).method("POST").content("a"), either(0, fresh())],
        ),
        ("s4_4_a_get_does_not", vec![asks(fresh()), hit(0), hit(0)]),
        ("s4_4_a_head_does_not", vec![asks(fresh()), hit(0).method("HEAD"), hit(0)]),
        ("s4_4_options_does_not", vec![asks(fresh()), asks(ok("")).method("OPTIONS"), hit(0)]),
        (
            "s4_4_a_post_with_no_store_does",
            vec![
                asks(fresh()),
                asks(ok("Cache-Control: no-store")).method("POST").with("Cache-Control: no-store").content("a"),
                asks(fresh()),
            ],
        ),
        (
            "s4_4_a_post_with_authorization_does",
            vec![asks(fresh()), asks(ok("")).method("POST").with("Authorization: Basic YTpi").content("a"), asks(fresh())],
        ),
        ("s4_4_a_post_elsewhere_does_not", vec![asks(fresh()), post("").at("/x"), hit(0)]),
        ("s4_4_a_post_with_another_query_does_not", vec![asks(fresh()).at("?a"), post("").at("?b"), hit(0).at("?a")]),
        ("s4_4_what_is_stored_afterwards_stays", vec![asks(fresh()), post(""), asks(fresh()), hit(2), hit(2)]),
        ("s4_4_location", vec![asks(fresh()).at("/x"), post("Location: {here}/x"), asks(fresh()).at("/x")]),
        (
            "s4_4_location_in_full",
            vec![asks(fresh()).at("/x"), post("Location: http://{origin}{here}/x"), asks(fresh()).at("/x")],
        ),
        ("s4_4_location_from_here", vec![asks(fresh()).at("/x"), post("Location: x").at("/y"), asks(fresh()).at("/x")]),
        (
            "s4_4_location_without_a_scheme",
            vec![asks(fresh()).at("/x"), post("Location: //{origin}{here}/x"), asks(fresh()).at("/x")],
        ),
        ("s4_4_location_with_dots", vec![asks(fresh()).at("/x"), post("Location: ../x").at("/y/z"), asks(fresh()).at("/x")]),
        (
            "s4_4_location_from_here_with_a_slash_in_the_query",
            vec![asks(fresh()).at("/x"), post("Location: x").at("/y?of=/z/"), asks(fresh()).at("/x")],
        ),
        (
            "s4_4_location_of_only_a_query",
            vec![asks(fresh()).at("/x?a"), post("Location: ?a").at("/x"), asks(fresh()).at("/x?a")],
        ),
        (
            "s4_4_location_with_a_query",
            vec![asks(fresh()).at("/x?a=b"), post("Location: {here}/x?a=b"), asks(fresh()).at("/x?a=b")],
        ),
        ("s4_4_location_with_a_fragment", vec![asks(fresh()).at("/x"), post("Location: {here}/x#there"), asks(fresh()).at("/x")]),
        (
            "s4_4_location_of_a_201",
            vec![
                asks(fresh()).at("/x"),
                asks(answer(201, "Location: {here}/x")).method("POST").content("a"),
                asks(fresh()).at("/x"),
            ],
        ),
        (
            "s4_4_location_of_a_303",
            vec![
                asks(fresh()).at("/x"),
                asks(answer(303, "Location: {here}/x")).method("POST").content("a"),
                asks(fresh()).at("/x"),
            ],
        ),
        (
            "s4_4_location_of_a_put",
            vec![asks(fresh()).at("/x"), asks(ok("Location: {here}/x")).method("PUT").content("a"), asks(fresh()).at("/x")],
        ),
        ("s4_4_content_location", vec![asks(fresh()).at("/x"), post("Content-Location: {here}/x"), asks(fresh()).at("/x")]),
        (
            "s4_4_content_location_in_full",
            vec![asks(fresh()).at("/x"), post("Content-Location: http://{origin}{here}/x"), asks(fresh()).at("/x")],
        ),
        (
            "s4_4_content_location_of_a_delete",
            vec![asks(fresh()).at("/x"), asks(ok("Content-Location: {here}/x")).method("DELETE"), asks(fresh()).at("/x")],
        ),
        (
            "s4_4_location_and_content_location",
            vec![
                asks(fresh()).at("/x"),
                asks(fresh()).at("/y"),
                asks(fresh()),
                post("Location: {here}/x\nContent-Location: {here}/y"),
                asks(fresh()).at("/x"),
                asks(fresh()).at("/y"),
                asks(fresh()),
            ],
        ),
        // From here on the field names what is not for this origin to say, or says nothing.
        (
            "s4_4_location_at_another_host_does_not",
            vec![asks(fresh()).at("/x"), post("Location: http://example.com{here}/x"), hit(0).at("/x")],
        ),
        (
            "s4_4_location_at_another_port_does_not",
            vec![asks(fresh()).at("/x"), post("Location: http://127.0.0.1:1{here}/x"), hit(0).at("/x")],
        ),
        (
            "s4_4_location_by_another_scheme_does_not",
            vec![asks(fresh()).at("/x"), post("Location: https://{origin}{here}/x"), hit(0).at("/x")],
        ),
        (
            "s4_4_location_of_a_404_does_not",
            vec![
                asks(fresh()).at("/x"),
                asks(answer(404, "Location: {here}/x\nContent-Location: {here}/x")).method("POST").content("a"),
                hit(0).at("/x"),
            ],
        ),
        (
            "s4_4_location_of_a_503_does_not",
            vec![asks(fresh()).at("/x"), asks(answer(503, "Location: {here}/x")).method("POST").content("a"), hit(0).at("/x")],
        ),
        (
            "s4_4_location_of_a_get_does_not",
            vec![asks(fresh()).at("/x"), asks(answer(302, "Location: {here}/x\nContent-Location: {here}/x")), hit(0).at("/x")],
        ),
        ("s4_4_a_location_that_is_none_harms_nothing", vec![asks(fresh()), post("Location: http://[::bad/ %%").at("/x"), hit(0)]),
        ("s4_4_a_safe_method_of_another_name_may", vec![asks(fresh()), asks(ok("")).method("PROPFIND"), either(0, fresh())]),
    ]);
    run(cases).await;
}
