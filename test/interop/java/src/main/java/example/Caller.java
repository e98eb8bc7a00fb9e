package example;

import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.List;
import java.util.Map;

import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jose.jwk.JWKSet;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.oauth2.client.AuthorizedClientServiceOAuth2AuthorizedClientManager;
import org.springframework.security.oauth2.client.OAuth2AuthorizedClientManager;
import org.springframework.security.oauth2.client.OAuth2AuthorizedClientProviderBuilder;
import org.springframework.security.oauth2.client.OAuth2AuthorizedClientService;
import org.springframework.security.oauth2.client.InMemoryOAuth2AuthorizedClientService;
import org.springframework.security.oauth2.client.endpoint.NimbusJwtClientAuthenticationParametersConverter;
import org.springframework.security.oauth2.client.endpoint.OAuth2ClientCredentialsGrantRequest;
import org.springframework.security.oauth2.client.endpoint.RestClientClientCredentialsTokenResponseClient;
import org.springframework.security.oauth2.client.registration.ClientRegistration;
import org.springframework.security.oauth2.client.registration.ClientRegistrationRepository;
import org.springframework.security.oauth2.client.registration.InMemoryClientRegistrationRepository;
import org.springframework.security.oauth2.client.web.client.OAuth2ClientHttpRequestInterceptor;
import org.springframework.security.oauth2.core.AuthorizationGrantType;
import org.springframework.security.oauth2.core.ClientAuthenticationMethod;
import org.springframework.util.LinkedMultiValueMap;
import org.springframework.util.MultiValueMap;
import org.springframework.web.client.RestClient;

/** A program that calls the API: docs/recipes/spring.md, "A caller". */
@Configuration
class Caller {
    @Bean
    ClientRegistrationRepository clientRegistrationRepository(@Value("${orders.issuer}") String issuer, @Value("${orders.client}") String client,
            @Value("${orders.scope}") String scope) {
        return new InMemoryClientRegistrationRepository(ClientRegistration.withRegistrationId("orders")
            .clientId(client)
            .authorizationGrantType(AuthorizationGrantType.CLIENT_CREDENTIALS)
            .clientAuthenticationMethod(ClientAuthenticationMethod.PRIVATE_KEY_JWT)
            .tokenUri(issuer + "/token")
            .scope(scope)
            .build());
    }

    @Bean
    OAuth2AuthorizedClientService authorizedClientService(ClientRegistrationRepository registrations) {
        return new InMemoryOAuth2AuthorizedClientService(registrations);
    }

    @Bean
    OAuth2AuthorizedClientManager authorizedClientManager(ClientRegistrationRepository registrations, OAuth2AuthorizedClientService tokens,
            @Value("${orders.issuer}") String issuer, @Value("${orders.resource}") String resource,
            @Value("${orders.key}") Path keyFile, @Value("${orders.jwks}") Path publicKeyFile,
            @Value("${orders.assertion-audience:${orders.issuer}}") String audience) throws Exception {
        JWK key = keyPair(keyFile, publicKeyFile);
        var assertion = new NimbusJwtClientAuthenticationParametersConverter<OAuth2ClientCredentialsGrantRequest>(registration -> key);
        assertion.setJwtClientAssertionCustomizer(made -> {
            made.getClaims().audience(List.of(audience)); // the issuer; Spring's own choice is the token endpoint
            made.getHeaders().type("client-authentication+jwt");
        });

        var requests = new RestClientClientCredentialsTokenResponseClient();
        requests.addParametersConverter(assertion);
        requests.addParametersConverter(request -> resource(resource));

        var manager = new AuthorizedClientServiceOAuth2AuthorizedClientManager(registrations, tokens);
        manager.setAuthorizedClientProvider(OAuth2AuthorizedClientProviderBuilder.builder()
            .clientCredentials(grant -> grant.accessTokenResponseClient(requests))
            .build());
        return manager;
    }

    /** The two files of `offkey keygen`: Nimbus, which Spring signs with, wants both halves. */
    private static JWK keyPair(Path privateKey, Path publicKeys) throws Exception {
        var der = Base64.getDecoder().decode(Files.readString(privateKey).replaceAll("-----[A-Z ]+-----|\\s", ""));
        var half = KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(der));
        return new ECKey.Builder(JWKSet.load(publicKeys.toFile()).getKeys().get(0).toECKey()).privateKey(half).build();
    }

    /** RFC 8707: which API the token is for. */
    private static MultiValueMap<String, String> resource(String uri) {
        return new LinkedMultiValueMap<>(Map.of("resource", List.of(uri)));
    }

    @Bean
    RestClient orders(OAuth2AuthorizedClientManager manager, @Value("${orders.resource}") String api) {
        var interceptor = new OAuth2ClientHttpRequestInterceptor(manager);
        interceptor.setClientRegistrationIdResolver(request -> "orders");
        return RestClient.builder().baseUrl(api).requestInterceptor(interceptor).build();
    }
}
