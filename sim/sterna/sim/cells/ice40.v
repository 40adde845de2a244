// Models of iCE40 cells of which yosys has none, or one that asks for open pins, which Verilator cannot tell.

// The clock comes in with the frequency that the PLL would make, and is locked after a few cycles.
module SB_PLL40_CORE(input REFERENCECLK, RESETB, BYPASS, output PLLOUTCORE, PLLOUTGLOBAL, output reg LOCK = 0);
    parameter FEEDBACK_PATH = "", DIVR = 0, DIVF = 0, DIVQ = 0, FILTER_RANGE = 0;
    reg [3:0] cycles = 0;
    assign PLLOUTCORE = REFERENCECLK, PLLOUTGLOBAL = REFERENCECLK;
    always @(posedge REFERENCECLK) {LOCK, cycles} <= {LOCK, cycles} + !LOCK;
endmodule

module SB_PLL40_PAD(input PACKAGEPIN, RESETB, BYPASS, output PLLOUTCORE, PLLOUTGLOBAL, LOCK);
    parameter FEEDBACK_PATH = "", DIVR = 0, DIVF = 0, DIVQ = 0, FILTER_RANGE = 0;
    SB_PLL40_CORE core (
        .REFERENCECLK(PACKAGEPIN), .RESETB(RESETB), .BYPASS(BYPASS),
        .PLLOUTCORE(PLLOUTCORE), .PLLOUTGLOBAL(PLLOUTGLOBAL), .LOCK(LOCK)
    );
endmodule

// Without registers: an input, or an output that may be let go.
module SB_IO(
    inout PACKAGE_PIN,
    input LATCH_INPUT_VALUE, CLOCK_ENABLE, INPUT_CLK, OUTPUT_CLK, OUTPUT_ENABLE, D_OUT_0, D_OUT_1,
    output D_IN_0, D_IN_1
);
    parameter [5:0] PIN_TYPE = 0;
    parameter PULLUP = 0, NEG_TRIGGER = 0, IO_STANDARD = "";
    generate
        if (PIN_TYPE == 6'b000001) assign D_IN_0 = PACKAGE_PIN;
        else if (PIN_TYPE == 6'b101001) assign PACKAGE_PIN = OUTPUT_ENABLE ? D_OUT_0 : 1'bz;
        else initial $fatal(1, "SB_IO is used in a way that its model does not know");
    endgenerate
endmodule

// What nextpnr packs into one cell: a LUT, a step of a carry chain, a flip-flop.
module ICESTORM_LC(input I0, I1, I2, I3, CIN, CLK, CEN, SR, output LO, O, COUT);
    parameter [15:0] LUT_INIT = 0;
    parameter NEG_CLK = 0, CARRY_ENABLE = 0, DFF_ENABLE = 0, SET_NORESET = 0, ASYNC_SR = 0, CIN_CONST = 0, CIN_SET = 0;
    wire [7:0] by_3 = I3 ? LUT_INIT[15:8] : LUT_INIT[7:0];
    wire [3:0] by_2 = I2 ? by_3[7:4] : by_3[3:0];
    wire [1:0] by_1 = I1 ? by_2[3:2] : by_2[1:0];
    wire carry = CIN_CONST ? CIN_SET : CIN;
    wire clock = CLK ^ NEG_CLK;
    assign LO = I0 ? by_1[1] : by_1[0];
    assign COUT = CARRY_ENABLE ? I1 & I2 | (I1 | I2) & carry : 1'bx;
    generate
        if (!DFF_ENABLE) assign O = LO;
        else begin
            reg kept = 0;
            assign O = kept;
            if (ASYNC_SR) begin
                always @(posedge clock, posedge SR)
                    if (SR) kept <= SET_NORESET;
                    else if (CEN) kept <= LO;
            end else begin
                always @(posedge clock) if (CEN) kept <= SR ? SET_NORESET : LO;
            end
        end
    endgenerate
endmodule
