// A producer in Java around the example of docs/clients.md.
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

class Producer {
    public static void main(String[] args) throws Exception {
// SNIPPET java-producer
    }
}
