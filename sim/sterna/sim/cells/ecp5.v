// Models of ECP5 cells of which yosys has none, or one that Verilator cannot read: no more of them than designs use.

// The clock comes in with the frequency that the PLL would make, and is locked after a few cycles.
module EHXPLLL(input CLKI, CLKFB, RST, STDBY, output CLKOP, output reg LOCK = 0);
    parameter CLKI_DIV = 1, CLKFB_DIV = 1, CLKOP_DIV = 1, CLKOP_ENABLE = "", CLKOP_CPHASE = 0, CLKOP_FPHASE = 0;
    parameter FEEDBK_PATH = "";
    reg [3:0] cycles = 0;
    assign CLKOP = CLKI;
    always @(posedge CLKI) {LOCK, cycles} <= {LOCK, cycles} + !LOCK;
endmodule

module TRELLIS_IO(inout B, input I, T, output O);
    parameter DIR = "INPUT";
    generate
        if (DIR != "INPUT") assign B = T ? 1'bz : I;
        if (DIR != "OUTPUT") assign O = B;
    endgenerate
endmodule

// The pads that the design before synthesis has: yosys' ones are made of TRELLIS_IO with an input where it has an inout.
module IB(input I, output O);
    assign O = I;
endmodule

module OBZ(input I, T, output O);
    assign O = T ? 1'bz : I;
endmodule

// Without registers.
module MULT18X18D(
    input
        A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
        B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
        C17, C16, C15, C14, C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0,
        SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
    output
        P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15, P14,
        P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
    wire signed [18:0] a = {SIGNEDA & A17,
        A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
    wire signed [18:0] b = {SIGNEDB & B17,
        B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
    wire signed [37:0] product = a * b;
    assign {
        P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15, P14,
        P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
    } = product[35:0];
endmodule

// Port A reads and writes, port B reads, each 1, 2, 4, 9 or 18 bits wide; or A writes 36 bits, or B reads 36. Outputs are
// not registered again. A word has 18 bits, two bytes of 9, of which ports of less than 9 bits reach 8.
module DP16KD(
    input
        DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1,
        DIA0,
        ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
        CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
        DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1,
        DIB0,
        ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
        CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
    output
        DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1,
        DOA0,
        DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1,
        DOB0
);
    parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18, CLKAMUX = "CLKA", CLKBMUX = "CLKB";
    parameter WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL", REGMODE_A = "NOREG", REGMODE_B = "NOREG";
    parameter RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC", CSDECODE_A = "0b000", CSDECODE_B = "0b000", GSR = "";
    parameter
        INITVAL_00 = 320'b0, INITVAL_01 = 320'b0, INITVAL_02 = 320'b0, INITVAL_03 = 320'b0, INITVAL_04 = 320'b0,
        INITVAL_05 = 320'b0, INITVAL_06 = 320'b0, INITVAL_07 = 320'b0, INITVAL_08 = 320'b0, INITVAL_09 = 320'b0,
        INITVAL_0A = 320'b0, INITVAL_0B = 320'b0, INITVAL_0C = 320'b0, INITVAL_0D = 320'b0, INITVAL_0E = 320'b0,
        INITVAL_0F = 320'b0, INITVAL_10 = 320'b0, INITVAL_11 = 320'b0, INITVAL_12 = 320'b0, INITVAL_13 = 320'b0,
        INITVAL_14 = 320'b0, INITVAL_15 = 320'b0, INITVAL_16 = 320'b0, INITVAL_17 = 320'b0, INITVAL_18 = 320'b0,
        INITVAL_19 = 320'b0, INITVAL_1A = 320'b0, INITVAL_1B = 320'b0, INITVAL_1C = 320'b0, INITVAL_1D = 320'b0,
        INITVAL_1E = 320'b0, INITVAL_1F = 320'b0, INITVAL_20 = 320'b0, INITVAL_21 = 320'b0, INITVAL_22 = 320'b0,
        INITVAL_23 = 320'b0, INITVAL_24 = 320'b0, INITVAL_25 = 320'b0, INITVAL_26 = 320'b0, INITVAL_27 = 320'b0,
        INITVAL_28 = 320'b0, INITVAL_29 = 320'b0, INITVAL_2A = 320'b0, INITVAL_2B = 320'b0, INITVAL_2C = 320'b0,
        INITVAL_2D = 320'b0, INITVAL_2E = 320'b0, INITVAL_2F = 320'b0, INITVAL_30 = 320'b0, INITVAL_31 = 320'b0,
        INITVAL_32 = 320'b0, INITVAL_33 = 320'b0, INITVAL_34 = 320'b0, INITVAL_35 = 320'b0, INITVAL_36 = 320'b0,
        INITVAL_37 = 320'b0, INITVAL_38 = 320'b0, INITVAL_39 = 320'b0, INITVAL_3A = 320'b0, INITVAL_3B = 320'b0,
        INITVAL_3C = 320'b0, INITVAL_3D = 320'b0, INITVAL_3E = 320'b0, INITVAL_3F = 320'b0;

    localparam [64 * 320 - 1:0] CONTENTS = {
        INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39, INITVAL_38, INITVAL_37,
        INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32, INITVAL_31, INITVAL_30, INITVAL_2F, INITVAL_2E,
        INITVAL_2D, INITVAL_2C, INITVAL_2B, INITVAL_2A, INITVAL_29, INITVAL_28, INITVAL_27, INITVAL_26, INITVAL_25,
        INITVAL_24, INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20, INITVAL_1F, INITVAL_1E, INITVAL_1D, INITVAL_1C,
        INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18, INITVAL_17, INITVAL_16, INITVAL_15, INITVAL_14, INITVAL_13,
        INITVAL_12, INITVAL_11, INITVAL_10, INITVAL_0F, INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A,
        INITVAL_09, INITVAL_08, INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01,
        INITVAL_00
    };
    reg [17:0] memory [0:1023];
    integer k;
    initial for (k = 0; k < 1024; k = k + 1) memory[k] = CONTENTS[k / 16 * 320 + k % 16 * 20 +: 18];

    wire [13:0] address_a = {
        ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0
    };
    wire [13:0] address_b = {
        ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0
    };
    wire [17:0] in_a = {
        DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1,
        DIA0
    };
    wire [17:0] in_b = {
        DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1,
        DIB0
    };
    reg [17:0] out_a = 0, out_b = 0;
    assign {
        DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1,
        DOA0
    } = out_a;
    assign {
        DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1,
        DOB0
    } = out_b;

    // Bits of the 18 that a port of this width writes: its lowest address bits choose, or enable bytes.
    function [17:0] enabled(input integer width, input [13:0] address);
        case (width)
            1: enabled = 18'd1 << (9 * address[3] + address[2:0]);
            2: enabled = 18'd3 << (9 * address[3] + 2 * address[2:1]);
            4: enabled = 18'd15 << (9 * address[3] + 4 * address[2]);
            9: enabled = 18'd511 << (9 * address[3]);
            default: enabled = {{9{address[1]}}, {9{address[0]}}};
        endcase
    endfunction

    function [17:0] to_word(input integer width, input [17:0] value);
        case (width)
            1: to_word = {2{1'b0, {8{value[0]}}}};
            2: to_word = {2{1'b0, {4{value[1:0]}}}};
            4: to_word = {2{1'b0, {2{value[3:0]}}}};
            9: to_word = {2{value[8:0]}};
            default: to_word = value;
        endcase
    endfunction

    function [17:0] from_word(input integer width, input [13:0] address, input [17:0] word);
        case (width)
            1: from_word = word[9 * address[3] + address[2:0] +: 1];
            2: from_word = word[9 * address[3] + 2 * address[2:1] +: 2];
            4: from_word = word[9 * address[3] + 4 * address[2] +: 4];
            9: from_word = word[9 * address[3] +: 9];
            default: from_word = word;
        endcase
    endfunction

    generate
        if (DATA_WIDTH_A == 36) begin
            always @(posedge CLKA) if (CEA && WEA) begin
                for (k = 0; k < 2; k = k + 1) begin
                    if (address_a[k]) memory[{address_a[13:5], 1'b0}][9 * k +: 9] <= in_a[9 * k +: 9];
                    if (address_a[2 + k]) memory[{address_a[13:5], 1'b1}][9 * k +: 9] <= in_b[9 * k +: 9];
                end
            end
        end else begin
            always @(posedge CLKA) if (CEA) begin
                if (DATA_WIDTH_B != 36 && (!WEA || WRITEMODE_A == "READBEFOREWRITE"))
                    out_a <= from_word(DATA_WIDTH_A, address_a, memory[address_a[13:4]]);
                if (WEA)
                    memory[address_a[13:4]] <= (memory[address_a[13:4]] & ~enabled(DATA_WIDTH_A, address_a))
                        | (to_word(DATA_WIDTH_A, in_a) & enabled(DATA_WIDTH_A, address_a));
            end
        end
        if (DATA_WIDTH_B == 36) begin
            always @(posedge CLKB) if (CEB) begin
                out_a <= memory[{address_b[13:5], 1'b0}];
                out_b <= memory[{address_b[13:5], 1'b1}];
            end
        end else begin
            always @(posedge CLKB) if (CEB) out_b <= from_word(DATA_WIDTH_B, address_b, memory[address_b[13:4]]);
        end
    endgenerate

    always @(posedge CLKA)
        if (WEB || RSTA || RSTB || CLKAMUX != "CLKA" || CLKBMUX != "CLKB" || REGMODE_A != "NOREG" || REGMODE_B != "NOREG"
                || WRITEMODE_A == "WRITETHROUGH")
            $fatal(1, "DP16KD is used in a way that its model does not know");
endmodule
