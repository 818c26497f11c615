//! Section 2: what is one stored answer, and for which methods.

use crate::{
    stage::Answer,
    table::{answer, asks, either, hit, ok, run},
};

const FRESH: &str = "Cache-Control: max-age=60";

fn fresh() -> Answer {
    ok(FRESH)
}

#[tokio::test(flavor = "multi_thread")]
async fn section_2_keys_and_methods() {
    run(vec![
        ("s2_a_get_is_stored_and_reused", vec![asks(fresh()), hit(0), hit(0)]),
        ("s2_other_path_is_another_answer", vec![asks(fresh()), asks(fresh()).at("/x"), hit(0), hit(1).at("/x")]),
        (
            "s2_the_query_belongs_to_the_key",
            vec![asks(fresh()).at("?a=1"), asks(fresh()).at("?a=2"), hit(0).at("?a=1"), hit(1).at("?a=2"), asks(fresh())],
        ),
        ("s2_the_order_of_the_query_counts", vec![asks(fresh()).at("?a=1&b=2"), asks(fresh()).at("?b=2&a=1")]),
        ("s2_the_path_has_its_case", vec![asks(fresh()).at("/a"), asks(fresh()).at("/A"), hit(0).at("/a")]),
        ("s2_a_slash_more_is_another_path", vec![asks(fresh()).at("/a"), asks(fresh()).at("/a/"), asks(fresh()).at("//a")]),
        (
            "s2_an_encoded_slash_is_no_slash",
            vec![asks(fresh()).at("/a/b"), asks(fresh()).at("/a%2Fb"), hit(0).at("/a/b"), hit(1).at("/a%2Fb")],
        ),
        ("s2_an_encoded_tilde_may_be_the_same", vec![asks(fresh()).at("/~a"), either(0, fresh()).at("/%7Ea")]),
        ("s2_the_scheme_has_no_case", vec![asks(fresh()), either(0, fresh()).target("HTTP://{origin}{here}").status(200)]),
        (
            "s2_post_is_not_stored",
            vec![asks(fresh()).method("POST").content("a"), asks(fresh()).method("POST").content("a"), asks(fresh())],
        ),
        (
            "s2_post_is_not_answered_from_a_stored_get",
            vec![asks(fresh()), asks(answer(500, "")).method("POST").content("a"), hit(0)],
        ),
        ("s2_put_is_not_answered_from_a_stored_get", vec![asks(fresh()), asks(fresh()).method("PUT").content("a")]),
        ("s2_delete_is_not_answered_from_a_stored_get", vec![asks(fresh()), asks(fresh()).method("DELETE")]),
        ("s2_options_is_not_answered_from_a_stored_get", vec![asks(fresh()), asks(fresh()).method("OPTIONS"), hit(0)]),
        ("s2_options_is_not_stored", vec![asks(fresh()).method("OPTIONS"), asks(fresh()).method("OPTIONS"), asks(fresh())]),
        ("s2_an_unknown_method_is_not_stored", vec![asks(fresh()).method("FROB"), asks(fresh()).method("FROB"), asks(fresh())]),
        ("s2_methods_have_their_case", vec![asks(fresh()), asks(fresh()).method("get")]),
        ("s2_propfind_is_not_answered_from_a_stored_get", vec![asks(fresh()), asks(fresh()).method("PROPFIND")]),
        (
            "rfc9110_s9_3_2_head_is_answered_from_a_stored_get",
            vec![asks(fresh()), hit(0).method("HEAD").same("Content-Length"), hit(0)],
        ),
        ("rfc9110_s9_3_2_get_is_not_answered_from_a_head", vec![asks(fresh()).method("HEAD"), asks(fresh()), hit(1)]),
        ("s2_head_may_be_answered_from_a_head", vec![asks(fresh()).method("HEAD"), either(0, fresh()).method("HEAD")]),
        (
            "s2_a_get_with_content_may_be_kept_apart",
            vec![asks(fresh()).content("question"), either(0, fresh()).content("other question"), either(0, fresh())],
        ),
        ("s2_cookies_do_not_belong_to_the_key", vec![asks(fresh()).with("Cookie: a=1"), hit(0).with("Cookie: a=2"), hit(0)]),
        ("s2_the_user_agent_does_not_belong_to_the_key", vec![asks(fresh()).with("User-Agent: a"), hit(0).with("User-Agent: b")]),
    ])
    .await;
}
