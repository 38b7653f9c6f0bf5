//! Resources that are refused.

use serde_json::json;

use super::{check, check_container};

#[test]
fn resources() {
    let with = |resources: serde_json::Value| json!({"resources": resources});
    let at = "spec.containers[0].resources";
    check_container(
        &with(json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}})),
        &[&format!("{at}.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1")],
    );
    check_container(
        &with(json!({"limits": {"cpu": "-1", "disk": "1"}})),
        &[
            &format!("{at}.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0"),
            &format!("{at}.limits[disk]: Invalid value: \"disk\": must be a standard resource type or fully qualified"),
            &format!("{at}.limits[disk]: Invalid value: \"disk\": must be a standard resource for containers"),
            &format!("{at}.requests[cpu]: Invalid value: \"-1\": must be greater than or equal to 0"),
            &format!(
                "{at}.requests[disk]: Invalid value: \"disk\": must be a standard resource type or fully qualified"
            ),
            &format!("{at}.requests[disk]: Invalid value: \"disk\": must be a standard resource for containers"),
        ],
    );
    check_container(
        &with(json!({"requests": {"example.com/gpu": "1"}})),
        &[&format!("{at}.limits: Required value: Limit must be set for non overcommitable resources")],
    );
    check_container(
        &with(json!({"requests": {"example.com/gpu": "1"}, "limits": {"example.com/gpu": "1500m"}})),
        &[
            &format!("{at}.limits[example.com/gpu]: Invalid value: \"1500m\": must be an integer"),
            &format!("{at}.requests: Invalid value: \"1\": must be equal to example.com/gpu limit of 1500m"),
        ],
    );
    check_container(
        &with(json!({"limits": {"hugepages-2Mi": "3Mi"}})),
        &[
            &format!(
                "{at}.limits[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of \
                 hugepages-2Mi"
            ),
            &format!(
                "{at}.requests[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of \
                 hugepages-2Mi"
            ),
            &format!("{at}: Forbidden: HugePages require cpu or memory"),
        ],
    );
}

#[test]
fn claims_and_sums() {
    let at = "spec.containers[0].resources";
    check_container(
        &json!({"resources": {"claims": [{"name": "gpu"}]}}),
        &[&format!(
            "{at}.claims[0]: Not found: \"gpu\": must be one of the names in pod.spec.resourceClaims which is empty"
        )],
    );
    check(
        &json!({"resourceClaims": [{"name": "gpu"}], "containers": [{"name": "a", "image": "a",
            "resources": {"claims": [{"name": "gpu", "request": "x"}, {"name": "gpu"}]}}]}),
        &[
            "spec.resourceClaims[0]: Invalid value: {\"Name\":\"gpu\",\"ResourceClaimName\":null,\
             \"ResourceClaimTemplateName\":null}: must specify one of: `resourceClaimName`, \
             `resourceClaimTemplateName`",
            &format!("{at}.claims[1]: Duplicate value: \"gpu\""),
        ],
    );
    check(
        &json!({"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1", "ephemeral-storage": "1"}},
            "containers": [{"name": "a", "image": "a", "resources": {"limits": {"cpu": "2"}}}]}),
        &[
            "spec.resources.limits[ephemeral-storage]: Unsupported value: \"ephemeral-storage\": supported values: \
             \"cpu\", \"hugepages-\", \"memory\"",
            "spec.resources.requests[cpu]: Invalid value: \"1\": must be greater than or equal to aggregate container \
             requests of 2",
            "spec.resources.containers[0][cpu].limits: Invalid value: \"2\": must be less than or equal to pod limits \
             of 1",
        ],
    );
}
