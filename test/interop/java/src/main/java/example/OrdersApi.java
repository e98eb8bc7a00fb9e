package example;

import java.util.Map;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RestController;

/** The API. */
@SpringBootApplication
@RestController
public class OrdersApi {
    public static void main(String[] args) {
        SpringApplication.run(OrdersApi.class, args);
    }

    @GetMapping("/v1/orders")
    Map<String, String> list(@AuthenticationPrincipal Jwt token) {
        return Map.of("client", token.getClaimAsString("client_id"));
    }

    @PostMapping("/v1/orders")
    Map<String, String> create(@AuthenticationPrincipal Jwt token) {
        return Map.of("client", token.getClaimAsString("client_id"));
    }
}
