package example;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Map;

import org.junit.jupiter.api.Test;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.test.context.SpringBootTest;
import org.springframework.boot.test.context.SpringBootTest.WebEnvironment;
import org.springframework.core.ParameterizedTypeReference;
import org.springframework.http.HttpStatus;
import org.springframework.security.oauth2.client.OAuth2AuthorizeRequest;
import org.springframework.security.oauth2.client.OAuth2AuthorizedClientManager;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.web.client.HttpClientErrorException;
import org.springframework.web.client.RestClient;

/** The caller calls the API through offkey, which stands at orders.resource. */
@SpringBootTest(webEnvironment = WebEnvironment.DEFINED_PORT)
class OrdersTest {
    @Autowired
    RestClient orders;

    @Autowired
    OAuth2AuthorizedClientManager manager;

    @Value("${orders.client}")
    String client;

    @Value("${orders.issuer}")
    String issuer;

    @Value("${server.port}")
    int port;

    @Test
    void aTokenOpensWhatItsScopeSays() {
        for (int i = 0; i < 3; i++) {
            var answer = orders.get().uri("/v1/orders").retrieve().body(new ParameterizedTypeReference<Map<String, String>>() { });
            assertThat(answer).containsEntry("client", client);
        }
    }

    @Test
    void itDoesNotOpenMore() {
        assertThatThrownBy(() -> orders.post().uri("/v1/orders").retrieve().toBodilessEntity())
            .isInstanceOfSatisfying(HttpClientErrorException.class, refused -> {
                assertThat(refused.getStatusCode()).isEqualTo(HttpStatus.FORBIDDEN);
                assertThat(refused.getResponseHeaders().getFirst("WWW-Authenticate")).contains("insufficient_scope");
            });
    }

    @Test
    void theUsualDecoderRefusesTheTypeOfTheToken() {
        var request = OAuth2AuthorizeRequest.withClientRegistrationId("orders").principal("test").build();
        var token = manager.authorize(request).getAccessToken().getTokenValue();
        var usual = NimbusJwtDecoder.withIssuerLocation(issuer).jwsAlgorithm(SignatureAlgorithm.ES256).build();
        assertThatThrownBy(() -> usual.decode(token)).hasMessageContaining("the given typ value needs to be one of [JWT]");
    }

    @Test
    void theApiItselfRefusesACallWithoutToken() {
        var direct = RestClient.create("http://127.0.0.1:" + port);
        assertThatThrownBy(() -> direct.get().uri("/v1/orders").retrieve().toBodilessEntity())
            .isInstanceOf(HttpClientErrorException.Unauthorized.class);
    }
}
