package example;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.http.HttpMethod;
import org.springframework.security.config.Customizer;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.config.http.SessionCreationPolicy;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.JwtValidators;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.web.SecurityFilterChain;

/** The API checks tokens itself: docs/recipes/spring.md, "The API". */
@Configuration
class ResourceServer {
    @Bean
    JwtDecoder jwtDecoder(@Value("${orders.issuer}") String issuer, @Value("${orders.resource}") String resource) {
        NimbusJwtDecoder decoder = NimbusJwtDecoder.withIssuerLocation(issuer)
            .jwsAlgorithm(SignatureAlgorithm.ES256)
            .validateType(false) // the next line checks it: at+jwt, not JWT
            .build();
        decoder.setJwtValidator(JwtValidators.createAtJwtValidator().issuer(issuer).audience(resource).build());
        return decoder;
    }

    @Bean
    SecurityFilterChain securityFilterChain(HttpSecurity http) throws Exception {
        return http
            .authorizeHttpRequests(calls -> calls
                .requestMatchers(HttpMethod.GET, "/v1/orders").hasAuthority("SCOPE_read:orders")
                .requestMatchers(HttpMethod.POST, "/v1/orders").hasAuthority("SCOPE_create:orders")
                .anyRequest().denyAll())
            .oauth2ResourceServer(server -> server.jwt(Customizer.withDefaults()))
            .sessionManagement(session -> session.sessionCreationPolicy(SessionCreationPolicy.STATELESS))
            .csrf(csrf -> csrf.disable()) // no cookies, no sessions
            .build();
    }
}
